#include "tools/qeval/page.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "tools/qeval/markup.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

// Text colours have a contrast of 4.5 at least to their background, marks of 3.
constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;
--good:#116329;--bad:#a40e26;--open:#6f4400;--link:#0550ae}
.s0{--c:#0b63b0}.s1{--c:#b3470b}.s2{--c:#0a7a55}.s3{--c:#8a3f8f}.s4{--c:#6b6b00}.s5{--c:#4a5560}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9da7b3;--line:#3d444d;
--panel:#161b22;--good:#57d673;--bad:#ff8a80;--open:#e6b450;--link:#79b8ff}
.s0{--c:#6cb6ff}.s1{--c:#ffa657}.s2{--c:#5bd0a0}.s3{--c:#d2a8ff}.s4{--c:#e3d34f}.s5{--c:#b6c2cf}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--bg);color:var(--fg);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.2rem}
h3{font-size:1.05rem;margin:1.4rem 0 .3rem}
p{max-width:46rem;margin:.4rem 0 .8rem}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.6rem 0;list-style:none}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;background:var(--bg)}
.soft{color:var(--soft)}
.answers{list-style:none;padding:0;display:grid;gap:.6rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
.answers li{border:1px solid var(--line);background:var(--panel);border-radius:.5rem;
padding:.6rem .8rem}
.answers b{display:block;font-size:1.25rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.8rem 0 1.2rem;border:1px solid var(--line);border-radius:.5rem}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:3px solid var(--link);
outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.6rem .7rem;font-weight:600;position:sticky;left:0}
caption small{display:block;font-weight:400;color:var(--soft);font-size:.85rem;
max-width:min(44rem,100vw - 4rem);white-space:normal}
th,td{padding:.3rem .7rem;text-align:left;border-top:1px solid var(--line);white-space:nowrap}
thead th{vertical-align:bottom;color:var(--soft);font-weight:600;background:var(--panel)}
tbody th{position:sticky;left:0;background:var(--bg);font-weight:600;max-width:11rem;
overflow:hidden;text-overflow:ellipsis}
.n{text-align:right}
tr.base th,tr.base td{background:var(--panel)}
.safe,.unsafe,.open{font-weight:600}
.safe{color:var(--good)}.unsafe{color:var(--bad)}.open{color:var(--open)}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
figure{margin:0;border:1px solid var(--line);border-radius:.5rem;padding:.5rem}
figcaption{font-weight:600;padding:.1rem .3rem .4rem;overflow-wrap:anywhere}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;list-style:none;padding:0;margin:.4rem 0;
font-size:.875rem}
.mark{vertical-align:-3px;margin-right:.35rem}
svg.chart{display:block;width:100%;height:auto;max-width:34rem;margin:auto}
svg text{fill:var(--soft);font:11px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
svg text.label{fill:var(--fg);font-size:10px;paint-order:stroke;stroke:var(--bg);stroke-width:2.5px}
svg line.grid{stroke:var(--line);stroke-width:.6}
svg line.axis,svg line.tick{stroke:var(--soft)}
svg line.base{stroke:var(--soft);stroke-dasharray:5 4}
svg .base-band{fill:var(--soft);opacity:.12}
svg g polygon,svg g circle{fill:var(--c)}
svg g polygon.band{fill:var(--c);opacity:.13}
svg g polyline{fill:none;stroke:var(--c);stroke-width:1.4}
svg g .bar{stroke:var(--c);stroke-width:1.2}
svg g .ring{fill:none;stroke:var(--fg);stroke-width:1.3}
svg polyline.front{fill:none;stroke:var(--soft);stroke-dasharray:2 3}
details{border-top:1px solid var(--line);padding:.35rem 0}
summary{cursor:pointer;overflow-wrap:anywhere}
dl.run{display:grid;grid-template-columns:minmax(5.5rem,max-content) 1fr;gap:.15rem .9rem;
margin:.4rem 0 .8rem;font-size:.875rem}
dl.run dt{color:var(--soft)}dl.run dd{margin:0;overflow-wrap:anywhere}
code{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.92em}
@media print{.scroll{overflow:visible}}
)";

std::string plural(std::size_t count, const std::string& word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

// What stands at the top: of each ladder the lowest safe quant.
std::string answers(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  const std::string within = percent(analysis.options.tolerance) + " points";
  std::string out;
  for (const Ladder& ladder : analysis.ladders) {
    const Setting& first = results.settings[ladder.rungs[0].setting];
    out += "<li>";
    if (ladder.lowest_safe) {
      const Setting& safe = results.settings[ladder.rungs[*ladder.lowest_safe].setting];
      out += "Lowest safe weights: <b>" + escaped(safe.weights) + "</b> " +
             fixed(safe.bits_per_weight, 2) + " bits a weight, " + human_bytes(safe.file_bytes);
    } else {
      out += "Lowest safe weights: <b>none shown</b> no quant is shown to lose less than " + within;
    }
    out += "<br/><span class=\"soft\">activations " + escaped(first.activations) + ", KV cache " +
           escaped(first.kv_type);
    if (series.several_models) out += ", " + escaped(first.model_name);
    out += "</span></li>\n";
  }
  if (out.empty()) return "<p>Nothing in the store can be compared with a baseline yet.</p>\n";
  return "<ul class=\"answers\">\n" + out + "</ul>\n";
}

constexpr const char* kReading = R"(<section id="reading">
<h2>How to read this</h2>
<h3>Interval [low, high]</h3>
<p>Other questions of the same kind would have given somewhat other figures. In 95 of 100 such
measurements an interval like this one holds the true figure. A single share of right answers has
Wilson's interval; a difference of two models on the same questions has Tango's, or, where answers
get a grade between 0 and 1, that of 10,000 resamples of the questions. Questions that belong
together count as what they are, less than as many independent ones.</p>
<h3>Lost and gained</h3>
<p>Questions that only the baseline answered rightly, and questions that only the quant did. Their
difference is the drop; their sum tells how much changed at all.</p>
<h3>p, and p by Holm</h3>
<p>How often chance alone would make two equally good models differ so much. Of twenty such
comparisons one falls below 0.05 by chance; Holm's p is corrected for the number of comparisons in
this report, and is the one to judge by.</p>
<h3>Detectable</h3>
<p>The drop that these questions would have found in 8 of 10 cases. Where no difference was found, a
smaller one than this may still be there.</p>
<h3>Retained</h3>
<p>The quant's right answers as a share of the baseline's.</p>
<h3>Safe, unsafe, cannot tell</h3>
<p>Safe: the whole interval of the difference lies above the tolerated drop. Unsafe: it lies below.
Else more questions are needed. Over several tasks a quant is safe if it is on each, and unsafe if
it is on one. Quants are tested from high bits down, and behind the first that is not safe none is
called safe: so the tests need no correction for their number.</p>
<h3>Equivalent</h3>
<p>Safe looks at losses alone. Equivalent asks for both sides: the difference is shown to be smaller
than the margin, up or down (its interval of 90 % lies within, which is two tests of 5 %). "Not
shown" is not "different": it may be that the questions are too few.</p>
<h3>KL divergence</h3>
<p>How far the probabilities of the next token are from those of the base model, in nats; 0 is the
same model. The finest of the measures, and blind to whether an answer is right.</p>
<h3>Pareto front</h3>
<p>The ringed points: nothing else is better in one respect without being worse in the other.</p>
</section>
)";

void entry(std::string& out, const char* term, const std::string& text, bool code = false) {
  if (text.empty()) return;
  out += std::string("<dt>") + term + "</dt><dd>" + (code ? "<code>" : "") + escaped(text) +
         (code ? "</code>" : "") + "</dd>\n";
}

std::string reproduction(const Analysis& analysis, const std::string& command) {
  const Results& results = analysis.results;
  std::set<std::string> versions, machines;
  for (const StoredRun& run : results.runs) {
    versions.insert(run.version);
    machines.insert(run.machine);
  }
  const auto list = [](const std::set<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : "; ") + word;
    return text;
  };
  std::string out =
      "<section id=\"reproduction\">\n<h2>Reproduction</h2>\n<p>Everything on this page is "
      "computed from these runs. Hashes are of a model's tensors and metadata, and of the bytes of "
      "a file of questions or text.</p>\n<dl class=\"run\">\n";
  entry(out, "this page", command, true);
  entry(out, "brink", list(versions));
  entry(out, "machine", list(machines));
  out += "</dl>\n";
  for (const StoredRun& run : results.runs) {
    const RunConfig& c = run.config;
    out += "<details><summary>" + escaped(c.kind) + " · " + escaped(c.weights) + ", " +
           escaped(c.activations) + ", " + escaped(c.kv_type) +
           (c.data.empty() ? "" : " · " + escaped(c.data)) +
           (run.finished ? "" : " · <b>not finished: left out</b>") +
           "</summary>\n<dl class=\"run\">\n";
    entry(out, "command", run.command, true);
    entry(out, "model", c.model + (c.model_name.empty() ? "" : " (" + c.model_name + ")"));
    entry(out, "model hash", c.model_hash, true);
    entry(out, "weights",
          c.weights + ", " + fixed(c.bits_per_weight, 3) + " bits a weight, " +
              std::to_string(c.file_bytes) + " bytes");
    entry(out, "activations", c.activations);
    entry(out, "KV cache", c.kv_type);
    entry(out, "backend", c.backend);
    entry(out, "data", c.data);
    entry(out, "data hash", c.data_hash, true);
    entry(out, "base hash", c.base_hash, true);
    entry(out, "options", c.options, true);
    entry(out, "brink", run.version);
    entry(out, "machine", run.machine + ", " + plural(c.threads, "thread"));
    entry(out, "started", run.started);
    entry(out, "items", std::to_string(run.items));
    entry(out, "seconds", fixed(run.seconds, 1));
    out += "</dl></details>\n";
  }
  return out + "</section>\n";
}

}  // namespace

std::string signed_percent(const Estimate& estimate) {
  const auto with_sign = [](double share) {
    std::string text = percent(share);
    if (text == "-0.0") text = "0.0";
    return share > 0 && text != "0.0" ? "+" + text : text;
  };
  return with_sign(estimate.value) + " [" + with_sign(estimate.ci->low) + ", " +
         with_sign(estimate.ci->high) + "]";
}

std::string p_text(double p) {
  if (p < 1e-300) return "< 1e-300";
  char text[32];
  std::snprintf(text, sizeof text, p < 1e-4 ? "%.1e" : "%.4f", p);
  return text;
}

SeriesNames::SeriesNames(const Results& results) {
  several_models = results.model_names().size() > 1;
  for (const Setting& s : results.settings) {
    std::string name = "activations " + s.rounding();
    if (several_models) name = shortened(s.model_name, 40) + ": " + name;
    const auto at = std::ranges::find(names, name);
    of_setting.push_back(static_cast<std::size_t>(at - names.begin()));
    if (at == names.end()) names.push_back(name);
  }
}

std::string report_page(const Analysis& analysis, const std::string& command) {
  const Results& results = analysis.results;
  std::set<std::string> models;
  for (const Setting& setting : results.settings) models.insert(setting.model_name);
  std::string names;
  for (const std::string& name : models)
    names += (names.empty() ? "" : ", ") + escaped(shortened(name, 80));
  if (names.empty()) names = "no model";
  std::size_t unfinished = 0;
  for (const StoredRun& run : results.runs) unfinished += !run.finished;

  const std::string dial = dial_section(analysis);
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
      "<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\"/>\n<title>What quantization costs: " +
      names + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n" +
      "<a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n" +
      "<h1>What quantization costs: " + names + "</h1>\n<p class=\"soft\">" +
      plural(results.settings.size(), "setting") + ", " + plural(results.tasks.size(), "task") +
      "; tolerated drop " + percent(analysis.options.tolerance) +
      " percentage points, margin of equivalence " + percent(analysis.options.equivalence) +
      ". Every row names what is quantized: weights, activations, KV cache.";
  if (unfinished > 0) page += " " + plural(unfinished, "unfinished run") + " left out.";
  page +=
      "</p>\n<nav aria-label=\"Sections\"><ul><li><a href=\"#verdicts\">Verdicts</a></li>"
      "<li><a href=\"#accuracy\">Accuracy</a></li><li><a href=\"#pairs\">Differences</a></li>"
      "<li><a href=\"#skills\">Skills</a></li>" +
      std::string(dial.empty() ? "" : "<li><a href=\"#dial\">Dial</a></li>") +
      "<li><a href=\"#text\">Text</a></li>"
      "<li><a href=\"#speed\">Speed</a></li><li><a href=\"#reading\">How to read this</a></li>"
      "<li><a href=\"#reproduction\">Reproduction</a></li></ul></nav>\n</header>\n"
      "<main id=\"main\">\n" +
      answers(analysis) + verdict_section(analysis) + chart_section(analysis) +
      comparison_section(analysis) + contrast_section(analysis) + dial + text_section(analysis) +
      speed_section(analysis) + kReading + reproduction(analysis, command) +
      "</main>\n</body>\n</html>\n";
  return page;
}

}  // namespace brink::tools
