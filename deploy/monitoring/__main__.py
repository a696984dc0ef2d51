"""Writes the dashboard and the rules again."""

from deploy.monitoring import dashboard, rules

if __name__ == "__main__":
    for module in (dashboard, rules):
        module.FILE.write_text(module.text(), encoding="utf-8")
        print(f"wrote {module.FILE}")
