"""How a contact sheet looks: one style sheet for screen, paper, light and dark.

In: nothing. Out: CSS text for the head of the page. What stands on the page is `service.contact_sheet`'s.
"""

STYLE = """
:root {
  --page: #f4f5f6; --mount: #fff; --matte: #e3e6e8; --ink: #14181b; --soft: #5a646b; --line: #d3d8dc;
  --same: #0a6e56; --same-ink: #fff; --bar: #3d4a53; --gap: clamp(12px, 1.5vw, 20px);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111416; --mount: #1b2023; --matte: #0a0c0d; --ink: #edf0f1; --soft: #98a4ab; --line: #2c3338;
    --same: #5fd3ae; --same-ink: #06231a; --bar: #b4c0c7;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  max-width: 1680px; margin: 0 auto; padding: clamp(16px, 3vw, 44px); background: var(--page); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { font-size: clamp(22px, 2.6vw, 34px); font-weight: 650; letter-spacing: -.02em; line-height: 1.15; overflow-wrap: anywhere; }
h2 { font-size: 14px; font-weight: 600; }
ol, ul { list-style: none; padding: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin-top: 10px; }
.facts div { display: flex; gap: 8px; min-width: 0; }
.facts dt { color: var(--soft); white-space: nowrap; }
.facts dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.sheet {
  display: grid; grid-template-columns: minmax(220px, 300px) 1fr; gap: clamp(20px, 3vw, 44px);
  margin-top: clamp(18px, 2.4vw, 32px); padding-top: clamp(18px, 2.4vw, 32px); border-top: 1px solid var(--line);
}
.query { position: sticky; top: 20px; align-self: start; display: grid; gap: 10px; }
.query .facts { flex-direction: column; margin: 2px 0 0; }
.hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: var(--gap); align-content: start; }
.hit {
  display: flex; flex-direction: column; gap: 8px; min-width: 0; padding: 8px 8px 11px;
  background: var(--mount); border-radius: 6px; box-shadow: inset 0 0 0 1px var(--line);
}
.hit.agrees { box-shadow: inset 0 0 0 2px var(--same); }
.frame { aspect-ratio: 3 / 2; border-radius: 3px; overflow: hidden; background: var(--matte); }
.frame img { display: block; width: 100%; height: 100%; object-fit: contain; }
.query .frame:has(img) { aspect-ratio: auto; }
.query .frame img { height: auto; max-height: 60vh; }
.gone {
  display: grid; place-content: safe center; gap: 3px; height: 100%; padding: 9px 12px; text-align: center; color: var(--soft);
  font-size: 12.5px; line-height: 1.35; overflow: hidden; overflow-wrap: anywhere;
  background: repeating-linear-gradient(-45deg, transparent 0 9px, color-mix(in srgb, var(--line) 55%, transparent) 9px 10px);
}
.gone b { color: var(--ink); font-weight: 600; }
.distance { display: flex; align-items: center; gap: 8px; color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.distance b { color: var(--ink); font-weight: 600; }
.rank { color: var(--ink); font-size: 19px; font-weight: 650; line-height: 1; }
.bar { flex: 1; min-width: 0; height: 5px; border-radius: 3px; background: var(--matte); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--bar); }
.labels { display: flex; flex-wrap: wrap; gap: 5px; }
.labels li { max-width: 100%; padding: 1px 8px; border-radius: 99px; background: var(--matte); font-size: 12.5px; overflow-wrap: anywhere; }
.labels .same { background: var(--same); color: var(--same-ink); font-weight: 600; }
.hit .labels .same::before { content: "\\2713\\00a0"; }
.name { display: flex; gap: 7px; min-width: 0; margin-top: auto; color: var(--soft); font-size: 12px; }
.name bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.id { font-variant-numeric: tabular-nums; }
.none { color: var(--soft); }
@media (max-width: 720px) {
  .sheet { grid-template-columns: 1fr; }
  .query { position: static; grid-template-columns: minmax(120px, 40%) 1fr; column-gap: 16px; align-items: start; }
  .query h2, .query .frame { grid-column: 1; }
  .query h2 { grid-column: 1 / -1; }
  .query .frame { grid-row: 2 / span 4; }
  .query > :not(h2, .frame) { grid-column: 2; }
  .hits { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
}
@media print {
  :root { --page: #fff; }
  body { padding: 0; background: none; }
  .query { position: static; }
  .hit { break-inside: avoid; }
}
"""
