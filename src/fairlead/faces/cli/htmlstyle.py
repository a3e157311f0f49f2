"""What the page of a diagnosis looks like, and the few lines that filter it: constants, and nothing foreign in them."""

from __future__ import annotations

STYLE = """
:root{--bg:#f4f5f7;--card:#fff;--ink:#1a1f26;--soft:#596372;--line:#dfe3e8;--fill:#f7f8fa;--critical:#c4232c;--warning:#a85f00;
--info:#2f62c4;--good:#16743f;--add:#dcf5e4;--addink:#0d5b2d;--del:#fde3e2;--delink:#96161c;--shadow:0 1px 2px #1018280d,0 2px 8px #1018280a}
@media (prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#161b22;--ink:#e7ebf0;--soft:#98a3b1;--line:#2a313b;--fill:#1c222b;
--critical:#ff7176;--warning:#f2b04c;--info:#82acff;--good:#5cd38c;--add:#12351f;--addink:#8fe3ad;--del:#3f1a1c;--delink:#ffaaab;--shadow:none}}
*{box-sizing:border-box}
html{background:var(--bg);color:var(--ink);font:15px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
body{max-width:1120px;margin:0 auto;padding:28px 20px 48px}
code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
h1{font-size:30px;line-height:1.15;letter-spacing:-.02em;margin:2px 0 6px}
h2{font-size:17px;line-height:1.35;margin:0;overflow-wrap:anywhere}
h3{font-size:13px;margin:18px 0 8px;color:var(--soft);font-weight:600}
h3 i,summary i{font-style:normal;font-weight:400;background:var(--fill);border:1px solid var(--line);border-radius:9px;padding:0 7px;font-size:12px;color:var(--soft)}
p{margin:6px 0}
.maker{margin:0;font-weight:600;color:var(--soft)}.maker span{font-weight:400}
header.good h1{color:var(--good)}
.about{color:var(--soft);margin:0 0 16px}
.tiles{display:flex;flex-wrap:wrap;gap:10px;list-style:none;margin:0 0 18px;padding:0}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:9px 16px 10px;box-shadow:var(--shadow);min-width:104px}
.tiles b{display:block;font-size:24px;line-height:1.2;font-variant-numeric:tabular-nums}.tiles span{font-size:12.5px;color:var(--soft)}
.tiles .critical b{color:var(--critical)}.tiles .warning b{color:var(--warning)}.tiles .info b{color:var(--info)}.tiles .none b{color:var(--good)}
.note{border-left:3px solid var(--warning);padding:4px 12px;background:var(--fill);border-radius:0 8px 8px 0;overflow-wrap:anywhere}
#filter{position:sticky;top:0;z-index:2;display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;padding:10px 0;background:var(--bg)}
#filter[hidden]{display:none}
#filter input[type=search]{flex:1 1 260px;font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:7px 12px}
#filter label{font-size:13.5px;color:var(--soft);cursor:pointer}#filter i{font-style:normal}#filter output{font-size:13px;color:var(--soft)}
.toc{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow);margin:0 0 18px;padding:6px 0;max-height:252px;overflow:auto}
.toc ol{list-style:none;margin:0;padding:0}.toc a{display:block;padding:4px 16px 4px 13px;color:var(--soft);text-decoration:none;border-left:3px solid transparent;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.toc a:hover,.toc a:focus{background:var(--fill)}.toc b{color:var(--ink);font-weight:600;margin-right:6px}
.toc .critical a{border-color:var(--critical)}.toc .warning a{border-color:var(--warning)}.toc .info a{border-color:var(--info)}
.card{position:relative;background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow);padding:18px 22px 20px 26px;margin:0 0 16px;overflow:hidden;scroll-margin-top:64px}
.card::before{content:"";position:absolute;inset:0 auto 0 0;width:5px;background:var(--info)}
.card.critical::before{background:var(--critical)}.card.warning::before{background:var(--warning)}
.card:target{outline:2px solid var(--info);outline-offset:2px}
.kind{color:var(--soft);font-weight:500}.name{font-weight:650}.name i{font-style:normal;color:var(--soft);font-weight:450}
.message{font-size:16px;margin:2px 0 8px;overflow-wrap:anywhere}
.chips{display:flex;flex-wrap:wrap;gap:6px;align-items:center;margin:0 0 10px}
.chip{font-size:12px;line-height:1.6;border:1px solid var(--line);background:var(--fill);color:var(--soft);border-radius:9px;padding:0 8px}
.chip.critical{color:var(--critical);border-color:currentColor}.chip.warning{color:var(--warning);border-color:currentColor}.chip.info{color:var(--info);border-color:currentColor}
.chip.flapping{color:var(--warning)}
.id{color:var(--soft);margin-left:auto}
.cause{overflow-wrap:anywhere;max-width:80ch}.where code,.at{color:var(--soft);overflow-wrap:anywhere}
.words{max-width:80ch;padding-left:12px;border-left:3px solid var(--line)}
figure{margin:0 -6px;overflow-x:auto;border:1px solid var(--line);border-radius:12px;background:var(--fill)}
.graph{display:block}
.graph text{font-family:inherit;fill:var(--ink)}
.graph .kind{font-size:11px;fill:var(--soft)}.graph .name{font-size:13px;font-weight:600}.graph .says{font-size:11px;fill:var(--soft)}
.graph .body,.graph .pile{fill:var(--card);stroke:var(--line)}.graph .strip{fill:var(--soft);opacity:.45}
.graph .edge{fill:none;stroke:var(--soft);stroke-width:1.4;opacity:.6}.graph .tip{fill:var(--soft);opacity:.8}
.graph .pill{fill:var(--soft);opacity:.16}.graph .many{font-size:11px;text-anchor:middle;font-weight:600}
.graph .critical .body{stroke:var(--critical);stroke-width:1.6}.graph .critical .strip{fill:var(--critical);opacity:1}
.graph .warning .body{stroke:var(--warning);stroke-width:1.6}.graph .warning .strip{fill:var(--warning);opacity:1}
.graph .info .body{stroke:var(--info);stroke-width:1.6}.graph .info .strip{fill:var(--info);opacity:1}
details{margin:8px 0}summary{cursor:pointer;color:var(--soft);font-size:13.5px}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin:4px 0}
td,th{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
tr:first-child td,tr:first-child th{border-top:0}
th{font-weight:500;color:var(--soft);width:84px}
.evidence .text{display:block;white-space:pre-wrap}.evidence .whose{display:block;font-size:12.5px}.at{display:block;font-size:11.5px}
.fix{border:1px solid var(--line);border-radius:12px;padding:12px 16px;margin:16px -6px 0;background:var(--fill)}
.fix h3{margin:0 0 4px;font-size:14px;color:var(--good)}.fix h3 i{color:var(--warning)}.risk{font-size:13.5px;color:var(--soft)}
.diff{margin:8px 0 0;padding:10px 14px;overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:9px}
.diff span{display:inline-block;min-width:100%}.diff .add{background:var(--add);color:var(--addink)}.diff .del{background:var(--del);color:var(--delink)}.diff .at{color:var(--soft);font-size:inherit}.diff .head{color:var(--soft)}
.command{font-size:13px;color:var(--soft);margin:8px 0 0}.command code{color:var(--ink)}
.advice h2{margin:26px 0 10px}.advice details{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:9px 16px;margin:0 0 8px}.advice b{color:var(--ink)}
.ignored{margin:24px 0}.ignored .card{opacity:.85;margin-top:12px}
footer{color:var(--soft);font-size:13px;margin-top:28px}
[data-gone]{display:none}
@media (max-width:640px){body{padding:18px 12px 40px}.card{padding:14px 14px 16px 18px}h1{font-size:25px}th{width:78px}.tiles li{min-width:0;padding:7px 12px}}
@media print{body{max-width:none;padding:0}#filter,.toc{display:none}.card{break-inside:avoid;box-shadow:none}}
"""

SCRIPT = """(function () {
  var form = document.getElementById("filter");
  if (!form) return;
  var words = document.getElementById("words"), count = document.getElementById("count");
  var cards = [].slice.call(document.querySelectorAll("#findings > [data-severity], #findings .advice > [data-severity]"));
  var links = {};
  [].forEach.call(document.querySelectorAll(".toc a"), function (a) { links[a.hash.slice(1)] = a.parentNode; });
  form.hidden = false;
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("input", function () {
    var wanted = words.value.toLowerCase().split(/\\s+/), grave = {}, shown = 0;
    [].forEach.call(form.querySelectorAll("input[type=checkbox]"), function (box) { grave[box.value] = box.checked; });
    cards.forEach(function (card) {
      var text = card.textContent.toLowerCase();
      var fits = grave[card.dataset.severity] !== false && wanted.every(function (word) { return text.indexOf(word) >= 0; });
      card.toggleAttribute("data-gone", !fits);
      if (links[card.id]) links[card.id].toggleAttribute("data-gone", !fits);
      if (fits) shown += 1;
    });
    count.textContent = shown === cards.length ? "" : shown + " of " + cards.length;
  });
})();"""
