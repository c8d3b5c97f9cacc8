"""The HTML of the authorize page. It only draws; what a decision does is in `authorize`."""

from collections.abc import Sequence
from html import escape
from string import Template
from typing import Final

from testbed.pipedrive.world import App, Company, User

PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Allow $app?</title>
<style>
  :root { color-scheme: light; --ink: #21232c; --soft: #65686f; --line: #e1e4e8; --go: #017737; }
  * { box-sizing: border-box; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f2f4f5;
         color: var(--ink);
         font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  main { width: min(28rem, calc(100vw - 2rem)); background: #fff; border: 1px solid var(--line);
         border-radius: 12px; box-shadow: 0 8px 28px rgb(33 35 44 / 8%); overflow: hidden; }
  header, form { padding: 1.5rem 2rem; }
  header { border-bottom: 1px solid var(--line); }
  .note { margin: 0 0 .5rem; color: var(--soft); font-size: .8rem; letter-spacing: .04em;
          text-transform: uppercase; }
  h1 { margin: 0; font-size: 1.35rem; line-height: 1.3; }
  label, strong { font-weight: 600; font-size: .9rem; }
  select { width: 100%; margin: .35rem 0 1.25rem; padding: .6rem; font: inherit; color: inherit;
           background: #fff; border: 1px solid #c3c6cc; border-radius: 6px; }
  ul { margin: .35rem 0 1.5rem; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .4rem; }
  li { padding: .15rem .6rem; background: #f2f4f5; border-radius: 99px;
       font: .85rem ui-monospace, SFMono-Regular, Menlo, monospace; }
  .actions { display: flex; gap: .75rem; }
  button { flex: 1; padding: .7rem; font: inherit; font-weight: 600; border-radius: 6px; cursor: pointer;
           border: 1px solid #c3c6cc; background: #fff; color: inherit; }
  button[value=accept] { background: var(--go); border-color: var(--go); color: #fff; }
  button:focus-visible, select:focus-visible { outline: 3px solid #5aa9ff; outline-offset: 2px; }
</style>
</head>
<body>
<main>
  <header>
    <p class="note">Pipedrive simulator</p>
    <h1>$app asks for access to your account</h1>
  </header>
  <form method="post">
    <label for="user">Continue as</label>
    <select id="user" name="user">$people</select>
    <strong>It will be able to use</strong>
    <ul>$scopes</ul>
    <div class="actions">
      <button id="deny" name="decision" value="deny">Deny</button>
      <button id="accept" name="decision" value="accept">Accept</button>
    </div>
  </form>
</main>
</body>
</html>
""")


def consent_page(app: App, people: Sequence[tuple[User, Company]]) -> str:
    """Return the page on which one of `people` accepts or denies an app."""
    options = (
        f'<option value="{company.id}:{user.id}">{escape(user.name)}, {escape(company.name)}</option>'
        for user, company in people
    )
    scopes = (f"<li>{escape(scope)}</li>" for scope in app.scopes)
    return PAGE.substitute(app=escape(app.name), people="".join(options), scopes="".join(scopes))
