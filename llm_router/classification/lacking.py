"""Recognises which part of a request a server does not take: pictures, or tools."""

import re

from llm_router.errors import StatusError
from llm_router.failures import Lacking


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_REFUSING = frozenset({0, 400, 404, 415, 422, 500, 501})
_OF_ONE_PICTURE = _words(
    r"download|fetch|valid (http|url|base64|data)|invalid_image_|you uploaded|mime|more than|"
    r"too (large|big|small|many)|exceed|formats|image.?format|pixel|dimension|corrupt|"
    r"(load|decode)\w* .{0,12}image|解析|下载|大小|过大"
)
_PICTURE = _words(r"image|picture|图片|图像")
_OF_TOOLS_BESIDE = _words(r"parallel|strict|stream|json.(mode|schema|output)|response.?format")
_LACKS: tuple[tuple[Lacking, re.Pattern[str], re.Pattern[str]], ...] = (
    (
        "images",
        _words(
            r"(not|n't) (support|accept|allow|have|process|handle)"
            r".{0,40}(image|vision|multi.?modal|picture)|"
            r"(image|vision|multi.?modal)[\w ]{0,30}(is|are|was)? ?(not|un)\W?(currently )?"
            r"(support|allow|accept|available|enabled)|not (a )?(multi.?modal|vision)|"
            r"at most 0 image|no endpoints found that support image|variant .?image_url|"
            r"image_url.{0,60}(only|not|invalid|unsupported|unknown|unexpected)|"
            r"(invalid|unsupported|unexpected|unknown).{0,40}image_url|text.only model|"
            r"mmproj|content type.{0,20}image|only .{0,20}text.{0,20}(content|input)|"
            r"image input|图片|图像"
        ),
        _OF_ONE_PICTURE,
    ),
    (
        "tools",
        _words(
            r"(not|n't) support .{0,20}(tool|function)s?\b"
            r"(?!.?(choice|role|message)|.{0,12}without)|"
            r"\b(tools?|functions?|(tool|function).?(use|call\w*))\W{1,2}(is|are) (not|un)\W?"
            r"(currently )?(support|enable|available)|"
            r"enable-auto-tool-choice|tools? param requires|"
            r"no endpoints found that support tool use|"
            r"(tool|function).?call\w* .{0,30}(not|n't) .{0,20}(support|enable|available)"
        ),
        _OF_TOOLS_BESIDE,
    ),
)
"""Abilities that may be lacking, sentences that say so, and sentences that object to one picture,
or to one use of tools."""


def lacking(error: BaseException) -> Lacking:
    """Returns what a server says that its model cannot do at all; empty: nothing of the kind."""
    said = _said(error)
    found = (
        what for what, words, others in _LACKS if words.search(said) and not others.search(said)
    )
    return next(found, "")


def refused(error: BaseException) -> Lacking:
    """Returns the part in which a server objects to this picture, or to this use of tools.

    It says nothing of others.
    """
    said = _said(error)
    if _OF_ONE_PICTURE.search(said) and _PICTURE.search(said):
        return "images"
    of_tools = next(words for what, words, _ in _LACKS if what == "tools")
    return "tools" if _OF_TOOLS_BESIDE.search(said) and of_tools.search(said) else ""


def _said(error: BaseException) -> str:
    """Returns the words of a refusal; empty for any other error."""
    if not isinstance(error, StatusError) or error.status not in _REFUSING:
        return ""
    return f"{error.code} {error.param} {error.detail}"
