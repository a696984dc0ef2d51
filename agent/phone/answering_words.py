"""Knows what answering machines, services that screen calls, and persons say first. Pure."""

import re

_PHRASES = (
    # English
    "leave a message", "leave your message", "leave me a message", "leave a brief message",
    "leave your name", "after the tone", "after the beep", "at the tone", "at the beep",
    "voicemail", "voice mail", "mailbox", "answering machine", "record your message",
    "come to the phone", "take your call", "get back to you", "you have reached", "you've reached",
    "is not available", "has been forwarded", "is unavailable",
    # German
    "hinterlassen sie", "nach dem signalton", "nach dem ton", "nach dem piep", "anrufbeantworter",
    "nicht erreichbar", "sprachbox",
    # French
    "laissez un message", "laisser un message", "laissez-moi un message", "après le bip",
    "après le signal", "répondeur", "messagerie",
    # Spanish
    "deje su mensaje", "deja tu mensaje", "deje un mensaje", "después de la señal",
    "después del tono", "buzón de voz", "contestador",
    # Italian
    "lasciate un messaggio", "lascia un messaggio", "dopo il segnale", "segreteria telefonica",
    # Dutch
    "laat een bericht", "spreek een bericht", "na de toon", "na de piep",
    # Portuguese
    "deixe sua mensagem", "deixe a sua mensagem", "deixe o seu recado", "após o sinal",
    "caixa postal",
    # Polish
    "zostaw wiadomość", "proszę zostawić wiadomość", "po sygnale", "poczta głosowa",
    # Swedish, Danish, Norwegian
    "lämna ett meddelande", "efter tonen", "læg en besked", "efter klartonen",
    "legg igjen en beskjed", "etter pipetonen",
    # Turkish
    "mesaj bırakın", "mesajınızı bırakın", "sinyal sesinden sonra",
    # Russian
    "оставьте сообщение", "после сигнала", "автоответчик",
    # Japanese and Chinese, which have no spaces
    "発信音のあと", "発信音の後", "留守番電話", "请留言", "语音信箱", "請留言", "語音信箱",
)  # fmt: skip
"""Words of answering machines, in small letters. A person hardly opens a call with any of them."""
_SCREENING = (
    "screening service", "call screening", "screening calls", "call assist", "call assistant",
    "say your name", "state your name", "record your name", "give your name", "reason for calling",
    "reason for your call", "why you're calling", "why you are calling", "what this is about",
    "if this person is available", "if they are available", "prove you are human",
    "prove you're human", "you are not a robot", "accept this call", "accept the call",
    "complete your call", "connect your call", "to be connected",
    "ihren namen und", "grund ihres anrufs", "anruf anzunehmen", "anruf fortzusetzen",
    "votre nom et", "motif de votre appel", "su nombre y", "motivo de su llamada",
)  # fmt: skip
"""Words of services that ask a caller before they put a call through: Google's and Apple's, those
of carriers, and telephones that want a key."""
_HELLOS = frozenset(
    """
    hello hi hey yes yeah yep good morning afternoon evening day speaking here who is this there
    hallo ja guten tag morgen abend bitte moin servus grüezi allô allo oui bonjour bonsoir
    hola sí si diga dígame bueno aló pronto buongiorno buonasera ciao met goedemorgen goedendag
    olá alô sim estou bom dia słucham halo tak dzień dobry hej hallå da alo merhaba efendim
    алло да слушаю もしもし 喂
    """.split()  # noqa: SIM905  shorter than a list
)
"""Words of which a person's first greeting consists, in small letters."""
_MOST_HELLOS = 3
_DIGITS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "star": "*", "pound": "#", "hash": "#",
    "eins": "1", "zwei": "2", "drei": "3", "vier": "4", "fünf": "5", "un": "1", "uno": "1",
    "deux": "2", "dos": "2",
}  # fmt: skip
_PRESS = r"(?:press|dial|push|enter|drücken sie|wählen sie|appuyez sur|tapez|pulse|marque|oprima)"
_OR = r"(?:or|and|oder|und|ou|et|o|y)"
_FOR = r"(?:to|for|um|zum|pour|para)"
_KEY = re.compile(
    rf"\b(?:(?:{_OR} )?{_PRESS}(?: (?:the|die|la|le|el|key|taste|touche|tecla|number|digit))*"
    rf"|{_OR}(?=(?: the| die| la)? \w+ {_FOR}\b)(?: the| die| la)?)"
    rf" (?P<key>[0-9]|{'|'.join(_DIGITS)})\b"
)
"""A key that is asked for: `press 1`, or `or 2 to ...` after such words."""
_PURPOSE = re.compile(
    r"\b(?:(?P<accepts>accept|connect|continue|complete|proceed|answer|anzunehmen|annehmen|annahme"
    r"|fortzusetzen|prendre|aceptar|contestar)"
    r"|(?P<declines>decline|reject|refuse|block|ignore|hang up|end|cancel|abzulehnen|ablehnen"
    r"|rechazar|bloquear))"
)
_FOR_FIRST = re.compile(rf"\b{_FOR} (?:[\w'-]+ ){{1,6}}$")
"""A purpose that is named before its key, as in `to accept the call press 1`."""


def is_machine_talk(words: str) -> bool:
    """Returns whether the words hold a phrase of answering machines."""
    return _holds(words, _PHRASES)


def is_screening(words: str) -> bool:
    """Returns whether the words are those of a service that asks before it puts a call through."""
    return _holds(words, _SCREENING)


def is_hello(words: str) -> bool:
    """Returns whether the words are a greeting and no more."""
    found = _plain(words).replace("-", " ").split()
    return 0 < len(found) <= _MOST_HELLOS and _HELLOS.issuperset(found)


def wanted_key(words: str) -> str:
    """Returns the key that the words ask for; empty: none.

    Of several it is the one that accepts the call, else the first that does not decline it.
    """
    plain = _plain(words)
    found = [*_KEY.finditer(plain)]
    if not found:
        return ""
    ends = [0, *(one.end() for one in found)]
    starts = [*(one.start() for one in found), len(plain)]
    between = [plain[end:start] for end, start in zip(ends, starts, strict=True)]
    comes_first = _FOR_FIRST.search(between[0])
    purposes = between[:-1] if comes_first else between[1:]
    keys = [_DIGITS.get(one["key"], one["key"]) for one in found]
    kinds = [why.lastgroup if (why := _PURPOSE.search(one)) else None for one in purposes]
    order = sorted(zip(kinds, keys, strict=True), key=lambda one: one[0] != "accepts")
    return next((key for kind, key in order if kind != "declines"), "")


def _holds(words: str, phrases: tuple[str, ...]) -> bool:
    plain = _plain(words)
    return any(phrase in plain for phrase in phrases)


def _plain(words: str) -> str:
    return " ".join(re.sub(r"[^\w'’-]+", " ", words.casefold().replace("’", "'")).split())
