// qeval report: its figures are those of the statistics, its page is well-formed and safe from what
// names hold.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "brink/core/error.h"
#include "brink/eval/paired.h"
#include "tests/support/example_store.h"
#include "tests/tools/tool_fixture.h"
#include "tools/qeval/analysis.h"
#include "tools/qeval/markup.h"
#include "tools/qeval/page.h"
#include "tools/qeval/report_rows.h"
#include "tools/qeval/results.h"
#include "tools/support/table.h"

namespace brink::testing {
namespace {

using tools::analyse;
using tools::Analysis;
using tools::load_results;
using tools::Store;

constexpr const char* kHostile = "</title><script>alert(1)</script>&\"'\xe2\x80\xae\xff\x01 name";

class QevalReportTest : public ToolTest {
 protected:
  std::string example(const ExampleOptions& options = {.items = 60}) {
    const std::string file = path("results.sqlite");
    Store store(file);
    fill_example_store(store, options);
    return file;
  }
  static Analysis analysis_of(const std::string& file, const tools::AnalysisOptions& options = {}) {
    return analyse(load_results(Store(file, Store::Access::kRead)), options);
  }
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST_F(QevalReportTest, FiguresAreThoseOfTheStatistics) {
  const std::string file = example();
  const Analysis analysis = analysis_of(file);
  const tools::Results& results = analysis.results;
  ASSERT_EQ(results.settings.size(), 14u);
  ASSERT_EQ(results.tasks.size(), 5u);  // of extraction also the score
  EXPECT_EQ(analysis.scores.size(), 5u * 14);
  EXPECT_EQ(analysis.comparisons.size(), 5u * 13);  // all but the baseline
  EXPECT_EQ(analysis.contrasts.size(), 13u * 6);    // pairs of four tasks

  // From the items of the store, without the loader's structures.
  const Store store(file, Store::Access::kRead);
  std::map<std::string, std::vector<tools::Item>> items;
  for (const tools::StoredRun& run : store.runs())
    if (run.config.kind == "tasks")
      items[run.config.data + run.config.weights + run.config.activations] = store.items(run.id);
  std::vector<double> p;
  for (const tools::Comparison& c : analysis.comparisons) {
    const tools::Setting& setting = results.settings[c.setting];
    const tools::Task& task = results.tasks[c.task];
    EXPECT_EQ(results.settings[c.baseline].label(), "F16, f32, f32");
    const auto& base = items.at(task.data + "F16f32");
    const auto& other = items.at(task.data + setting.weights + setting.activations);
    std::vector<double> before, after;
    std::vector<std::uint64_t> clusters;
    for (std::size_t i = 0; i < base.size(); ++i) {
      const bool graded = task.name == "extraction (score)";
      before.push_back(graded ? base[i].score : base[i].correct);
      after.push_back(graded ? other[i].score : other[i].correct);
      clusters.push_back(task.name == "facts" ? i / 4 : i);
    }
    const PairedComparison expected = compare_paired({before, after, clusters});
    EXPECT_EQ(c.paired.method, expected.method);
    EXPECT_EQ(c.paired.difference.value, expected.difference.value);
    EXPECT_EQ(c.paired.difference.ci->low, expected.difference.ci->low);
    EXPECT_EQ(c.paired.p, expected.p);
    EXPECT_EQ(c.paired.lost, expected.lost);
    EXPECT_EQ(c.verdict, non_inferiority(*expected.difference.ci, 0.02));
    EXPECT_EQ(c.equivalent, equivalent(expected.difference90, 0.02));
    const tools::TaskScore& score = *analysis.score(c.setting, c.task);
    EXPECT_NEAR(score.accuracy.value, expected.other, 1e-12);
    EXPECT_EQ(score.clusters, task.name == "facts" ? 15u : 60u);
    EXPECT_EQ(score.invented.has_value(), task.name.starts_with("extraction"));
    p.push_back(c.paired.p);
  }
  const std::vector<double> corrected = holm(p);
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_EQ(analysis.comparisons[i].corrected_p, corrected[i]);
}

// What is equivalent is so on each task, and by a margin of its own.
TEST_F(QevalReportTest, EquivalenceHasItsOwnMargin) {
  const std::string store = example({.items = 400});
  std::vector<std::size_t> counts;
  for (const double margin : {0.001, 0.06, 0.9}) {
    const Analysis analysis =
        analysis_of(store, {.baseline = {}, .tolerance = 0.001, .equivalence = margin});
    std::size_t shown = 0;
    for (const tools::Ladder& ladder : analysis.ladders)
      for (const tools::Ladder::Rung& rung : ladder.rungs) {
        bool all = true;
        for (const tools::Comparison* c : rung.comparisons)
          all = all && c->paired.difference90.low > -margin && c->paired.difference90.high < margin;
        EXPECT_EQ(rung.equivalent, all);
        shown += all ? 1 : 0;
      }
    counts.push_back(shown);
  }
  EXPECT_EQ(counts[0], 0u);
  EXPECT_GT(counts[1], 0u);
  EXPECT_LT(counts[1], counts[2]);  // 2 bits are not
}

TEST_F(QevalReportTest, LaddersGoFromHighBitsDown) {
  const Analysis analysis =
      analysis_of(example({.items = 400}), {.baseline = {}, .tolerance = 0.05});
  ASSERT_EQ(analysis.ladders.size(), 2u);
  for (const tools::Ladder& ladder : analysis.ladders) {
    double bits = 99;
    bool reached = true;
    for (std::size_t i = 0; i < ladder.rungs.size(); ++i) {
      const tools::Setting& setting = analysis.results.settings[ladder.rungs[i].setting];
      EXPECT_LT(setting.bits_per_weight, bits);
      bits = setting.bits_per_weight;
      EXPECT_EQ(ladder.rungs[i].comparisons.size(), 4u);
      reached = reached && ladder.rungs[i].alone == Verdict::kSafe;
      EXPECT_EQ(ladder.rungs[i].verdict == Verdict::kSafe, reached);
      EXPECT_EQ(ladder.lowest_safe >= i, reached);
    }
    // What was made up: 8 bits hardly change an answer, 2 change many.
    ASSERT_TRUE(ladder.lowest_safe);
    EXPECT_EQ(ladder.rungs.back().verdict, Verdict::kUnsafe);
  }
  const std::string page = report_page(analysis, "qeval report");
  const tools::Ladder& first = analysis.ladders[0];
  const std::string& lowest =
      analysis.results.settings[first.rungs[*first.lowest_safe].setting].weights;
  EXPECT_NE(page.find("Lowest safe weights: <b>" + lowest + "</b>"), std::string::npos);
}

TEST_F(QevalReportTest, TheBaselineIsTheMostExactRunOfItsWeights) {
  const std::string file = example();
  const Analysis analysis = analysis_of(file, {.baseline = "Q8_0"});
  for (const tools::Comparison& c : analysis.comparisons)
    EXPECT_EQ(analysis.results.settings[c.baseline].label(), "Q8_0, f32, f32");
  EXPECT_THROW(analysis_of(file, {.baseline = "Q9_0"}), Error);
}

TEST_F(QevalReportTest, OnlyFinishedRunsAndCommonItemsCount) {
  const std::string file = path("results.sqlite");
  Store store(file);
  const auto add = [&](const std::string& weights, double bits, int first, int last, bool finish) {
    tools::RunConfig config = example_config("tasks", "m", weights, bits, "f32", "f32");
    config.data = "t.jsonl";
    const std::int64_t run = store.open(config);
    for (int i = first; i < last; ++i) {
      tools::Item item;
      item.index = i;
      item.id = std::to_string(i);
      item.score = i % 3 == 0 || bits > 8;
      store.add(run, item);
    }
    if (finish) store.finish(run, "{}");
  };
  add("F16", 16, 0, 30, true);
  add("Q4_0", 4.5, 10, 40, true);
  add("Q2_K", 2.5, 0, 30, false);
  const Analysis analysis = analysis_of(file);
  ASSERT_EQ(analysis.comparisons.size(), 1u);
  EXPECT_EQ(analysis.comparisons[0].paired.items, 20u);
  EXPECT_EQ(analysis.comparisons[0].paired.lost, 14u);  // 10 to 29 without 12, 15, ... 27
  const std::string page = report_page(analysis, "");
  EXPECT_NE(page.find("1 unfinished run left out"), std::string::npos);
  EXPECT_NE(page.find("not finished: left out"), std::string::npos);
}

// The scales of int8-tensor activations are in a run's options, but they change no question.
TEST_F(QevalReportTest, ScalesOfActivationsDoNotMakeAnotherTask) {
  const std::string file = path("results.sqlite");
  Store store(file);
  const auto add = [&](const char* activations, const char* options) {
    tools::RunConfig config = example_config("tasks", "m", "F16", 16, activations, "f32");
    config.data = "t.jsonl";
    config.options = options;
    const std::int64_t run = store.open(config);
    store.add(run, tools::Item{.id = "0", .score = 1});
    store.finish(run, "{}");
  };
  add("int8-tensor", R"({"grader":"exact","scales":"0123456789abcdef"})");
  add("int8-tensor", R"({"grader":"exact","scales":"fedcba9876543210"})");
  add("f32", R"({"grader":"exact"})");
  const Analysis analysis = analysis_of(file);
  EXPECT_EQ(analysis.results.tasks.size(), 1u);
  ASSERT_EQ(analysis.comparisons.size(), 2u);
  for (const tools::Comparison& c : analysis.comparisons)
    EXPECT_EQ(analysis.results.settings[c.baseline].activations, "f32");
  EXPECT_EQ(analysis.results.settings[1].activations.substr(0, 12), "int8-tensor ");
  EXPECT_NE(analysis.results.settings[1].activations, analysis.results.settings[2].activations);
}

TEST_F(QevalReportTest, PageHoldsTheFigures) {
  const Analysis analysis = analysis_of(example());
  const std::string page = report_page(analysis, "qeval report");
  for (const tools::Comparison& c : analysis.comparisons) {
    // Of an interval that is given whole; signs as a reader expects them.
    const auto sign = [](double share) {
      const std::string text = tools::percent(share);
      return text == "-0.0" ? "0.0" : share > 0 && text != "0.0" ? "+" + text : text;
    };
    const Estimate& d = c.paired.difference;
    EXPECT_NE(
        page.find("<td class=\"n\">" + sign(d.value) + " [" + sign(d.ci->low) + ", " +
                  sign(d.ci->high) + "]</td><td class=\"n\">" + std::to_string(c.paired.lost) +
                  "</td><td class=\"n\">" + std::to_string(c.paired.gained) +
                  "</td><td class=\"n\">" + tools::escaped(tools::p_text(c.paired.p))),
        std::string::npos);
  }
  for (const tools::TaskScore& score : analysis.scores) {
    char title[160];
    std::snprintf(title, sizeof title, ": %.6g; %.6g [%.6g, %.6g]</title>",
                  analysis.results.settings[score.setting].bits_per_weight,
                  100 * score.accuracy.value, 100 * score.accuracy.ci->low,
                  100 * score.accuracy.ci->high);
    EXPECT_NE(page.find(title), std::string::npos) << title;
  }
  EXPECT_EQ(count(page, "role=\"img\""), 5u + 1 + 2);  // tasks, KL, quality twice
  EXPECT_EQ(count(page, "<caption>"), count(page, "<table>"));
  for (const char* forbidden : {"<script", "http://www.w3.org/1999/xlink", "src=", "url("})
    EXPECT_EQ(page.find(forbidden), std::string::npos) << forbidden;
}

// Names are whatever a file says: nothing of them becomes markup. Python's parser judges.
TEST_F(QevalReportTest, PageIsWellFormedWhateverNamesHold) {
  const std::string file = path("results.sqlite");
  {
    Store store(file);
    fill_example_store(store, {.items = 20});
    fill_example_store(store, {.model_name = kHostile, .items = 20});
    tools::RunConfig config = example_config("tasks", kHostile, kHostile, 3, kHostile, kHostile);
    config.data = std::string("<b>/") + kHostile + ".jsonl";
    config.options = kHostile;
    const std::int64_t run = store.open(config);
    store.add(run, tools::Item{.id = kHostile, .cluster = kHostile, .score = 0.5});
    store.finish(run, "{}");
  }
  const std::string page = report_page(analysis_of(file), kHostile);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("\xe2\x80\xae"), std::string::npos);
  const std::string html = write("page.html", page);
  if (std::system("python3 -c ''") != 0) GTEST_SKIP() << "no python3";
  EXPECT_EQ(std::system(("python3 -c 'import sys, xml.dom.minidom as x; "
                         "d = x.parse(sys.argv[1]); "
                         "assert not d.getElementsByTagName(\"script\"); "
                         "ids = [e.getAttribute(\"id\") for e in d.getElementsByTagName(\"*\") "
                         "if e.hasAttribute(\"id\")]; assert len(ids) == len(set(ids)), ids' '" +
                         html + "'")
                            .c_str()),
            0);
}

TEST_F(QevalReportTest, PageOfAnEmptyStore) {
  const std::string file = path("empty.sqlite");
  { Store store(file); }
  const Analysis analysis = analysis_of(file);
  EXPECT_TRUE(analysis.ladders.empty());
  EXPECT_NE(report_page(analysis, "").find("Nothing in the store can be compared"),
            std::string::npos);
  EXPECT_EQ(report_rows(analysis).size(), 0u);
  EXPECT_EQ(tools::to_csv(report_rows(analysis)), "");
}

TEST_F(QevalReportTest, Command) {
  const std::string store = "'" + example() + "'";
  // Kept for the test that looks at it in a browser.
  const std::string page = BRINK_BINARY_DIR "/tests/report.html";
  const ToolResult result = run("qeval report --store " + store + " -o '" + page + "' --csv '" +
                                path("rows.csv") + "' --json --tolerance 5pp --equivalence 6pp");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(read_file(page).starts_with("<!DOCTYPE html>"));
  const Json rows = parse_json(result.out);
  ASSERT_EQ(rows.size(), 5u * 14 + 13);
  std::set<std::string> verdicts;
  std::size_t contrasts = 0;
  for (const Json& row : rows) {
    for (const char* key : {"weights", "activations", "kv"}) EXPECT_TRUE(row[key].is_string());
    if (row.contains("difference")) {
      ASSERT_EQ(row["difference.ci"].size(), 2u);
      EXPECT_LE(row["difference.ci"][0], row["difference"]);
      EXPECT_GE(row["p.holm"], row["p"]);
      EXPECT_EQ(row["tolerance"], 0.05);
      EXPECT_EQ(row["equivalence"], 0.06);
      const double low = row["difference90.ci"][0], high = row["difference90.ci"][1];
      EXPECT_EQ(row["equivalent"], low > -0.06 && high < 0.06);
      verdicts.insert(row["verdict"]);
      // How much further than on another task, seen from both.
      if (row["task"] == "facts")
        for (const Json& other : rows)
          if (other.contains("versus.facts") && other["task"] == "code" &&
              other["weights"] == row["weights"] && other["activations"] == row["activations"]) {
            EXPECT_EQ(row["versus.code"].get<double>(), -other["versus.facts"].get<double>());
            EXPECT_EQ(row["versus.code.ci"][0].get<double>(),
                      -other["versus.facts.ci"][1].get<double>());
            EXPECT_GE(row["versus.code.p.holm"], row["versus.code.p"]);
            ++contrasts;
          }
    }
  }
  EXPECT_TRUE(verdicts.contains("unsafe"));
  EXPECT_EQ(contrasts, 13u);
  const std::string csv = read_file(path("rows.csv"));
  EXPECT_EQ(count(csv, "\r\n"), rows.size() + 1);
  const std::string header = csv.substr(0, csv.find("\r\n"));
  EXPECT_NE(header.find("accuracy,accuracy.low,accuracy.high"), std::string::npos);
  // Without quoted cells every line has as many commas.
  EXPECT_EQ(count(csv, ","), count(header, ",") * (rows.size() + 1) + count(csv, "\"") / 2 * 2);

  const ToolResult table = run("qeval report --store " + store + " -o '" + page + "'");
  EXPECT_NE(table.out.find("cannot tell"), std::string::npos);
  EXPECT_NE(table.out.find("  baseline"), std::string::npos);
}

// Runs as they are in real stores: unfinished, tried on a few items first, of files of one name.
class ReportOfRunsTest : public QevalReportTest {
 protected:
  struct Run {
    std::string task = "t", weights = "F16", hash = "h";
    double bits = 16;
    int items = 200, lost = 0;  // the first ones
    std::string options = R"({"grader":"exact","items":200,"prompts":"a"})";
    std::string file = "m.gguf";
  };
  void add(const Run& made) {
    Store store(file());
    tools::RunConfig config = example_config("tasks", "m", made.weights, made.bits, "f32", "f32");
    config.model = made.file;
    config.model_hash = made.hash;
    config.data = made.task + ".jsonl";
    config.data_hash = "hash of " + made.task;
    config.options = made.options;
    const std::int64_t run = store.open(config);
    std::vector<tools::Item> items;
    for (int i = 0; i < made.items; ++i) {
      tools::Item item;
      item.index = i;
      item.id = std::to_string(i);
      item.correct = i >= made.lost;
      item.score = item.correct;
      items.push_back(item);
    }
    store.add(run, items);
    store.finish(run, "{}");
  }
  std::string file() const { return path("results.sqlite"); }
};

TEST_F(ReportOfRunsTest, NothingIsSafeWithATaskMissing) {
  add({.task = "facts"});
  add({.task = "code"});
  add({.task = "facts", .weights = "Q2_K", .hash = "q", .bits = 2.5});
  const tools::AnalysisOptions tolerance{.baseline = {}, .tolerance = 0.05, .equivalence = 0.05};
  {
    const Analysis analysis = analysis_of(file(), tolerance);
    ASSERT_EQ(analysis.ladders.size(), 1u);
    const tools::Ladder::Rung& rung = analysis.ladders[0].rungs[0];
    EXPECT_EQ(rung.comparisons[0]->verdict, Verdict::kSafe);
    EXPECT_EQ(rung.verdict, Verdict::kCannotTell);
    EXPECT_FALSE(rung.equivalent);
    EXPECT_FALSE(analysis.ladders[0].lowest_safe);
    ASSERT_EQ(rung.missing.size(), 1u);
    EXPECT_EQ(analysis.results.tasks[rung.missing[0]].name, "code");
    EXPECT_NE(report_page(analysis, "").find("code not measured"), std::string::npos);
    EXPECT_EQ(report_rows(analysis)[1]["missing"], Json::array({"code"}));
  }
  const ToolResult table = run("qeval report --store '" + file() + "' -o '" + path("x.html") + "'");
  EXPECT_NE(table.out.find("code not measured"), std::string::npos) << table.out;
  add({.task = "code", .weights = "Q2_K", .hash = "q", .bits = 2.5});
  EXPECT_EQ(analysis_of(file(), tolerance).ladders[0].rungs[0].verdict, Verdict::kSafe);
}

// Tried on ten items first: the run of all items counts, and no item counts twice.
TEST_F(ReportOfRunsTest, TheRunOfMostItemsCounts) {
  const auto pilot = [](Run run) {
    run.items = 10;
    run.options = R"({"grader":"exact","items":10,"subset":"first","prompts":"b","context":64})";
    return run;
  };
  const Run base{}, quant{.weights = "Q4_0", .hash = "q", .bits = 4.5, .lost = 4};
  add(base);
  add(quant);
  const PairedComparison alone = analysis_of(file()).comparisons[0].paired;
  add(pilot(base));
  add(pilot(quant));
  add(pilot({.weights = "Q2_K", .hash = "q2", .bits = 2.5, .lost = 9}));
  const Analysis analysis = analysis_of(file());
  ASSERT_EQ(analysis.results.tasks.size(), 1u);
  EXPECT_EQ(analysis.results.tasks[0].name, "t");
  ASSERT_EQ(analysis.comparisons.size(), 2u);
  EXPECT_EQ(analysis.comparisons[0].paired.items, 200u);
  EXPECT_EQ(analysis.comparisons[0].paired.difference.ci->low, alone.difference.ci->low);
  EXPECT_EQ(analysis.comparisons[1].paired.items, 10u);  // of 200 and 10
  EXPECT_EQ(analysis.comparisons[1].paired.lost, 9u);
}

TEST_F(ReportOfRunsTest, TasksAreToldApartByWhatDiffers) {
  add({});
  add({.options = R"({"grader":"exact","shots":5,"template":"a text that is too long to show"})"});
  const Analysis analysis = analysis_of(file());
  ASSERT_EQ(analysis.results.tasks.size(), 2u);
  EXPECT_EQ(analysis.results.tasks[0].name, "t (shots none)");
  EXPECT_EQ(analysis.results.tasks[1].name, "t (shots 5)");
}

// A fine-tune often keeps its model's name. What was begun first is the baseline, and rows differ.
TEST_F(ReportOfRunsTest, FilesOfOneNameAndTypeAreToldApart) {
  add({.hash = "zz", .file = "base.gguf"});
  add({.hash = "aa", .lost = 30, .file = "tuned.gguf"});
  add({.weights = "Q4_0", .hash = "q", .bits = 4.5, .lost = 1, .file = "base-q4.gguf"});
  const Analysis analysis = analysis_of(file());
  ASSERT_EQ(analysis.comparisons.size(), 2u);
  for (const tools::Comparison& c : analysis.comparisons)
    EXPECT_EQ(analysis.results.settings[c.baseline].label(), "F16 (base), f32, f32");
  EXPECT_EQ(analysis.results.settings[2].weights, "Q4_0");
  const std::string command = "qeval report --store '" + file() + "' --json ";
  EXPECT_NE(run(command).err.find("F16 (base) and F16 (tuned)"), std::string::npos);
  const ToolResult named = run(command + "--baseline 'F16 (tuned)'");
  EXPECT_EQ(named.err, "");
  EXPECT_EQ(parse_json(named.out)[0]["baseline"], "F16 (tuned), f32, f32") << named.out;
}

// Right or wrong decides, by Tango and McNemar; the grade stands beside it.
TEST_F(ReportOfRunsTest, AccuracyAndScoreAreBothCompared) {
  for (const char* weights : {"F16", "Q4_0"}) {
    Store store(file());
    tools::RunConfig config =
        example_config("tasks", "m", weights, *weights == 'F' ? 16 : 4.5, "f32", "f32");
    config.data = "t.jsonl";
    config.options = R"({"grader":"json"})";
    const std::int64_t run = store.open(config);
    for (int i = 0; i < 50; ++i)
      store.add(run, tools::Item{.index = i,
                                 .id = std::to_string(i),
                                 .score = *weights == 'Q' && i < 12 ? 0.75 : 1,
                                 .correct = *weights == 'F' || i >= 12});
    store.finish(run, "{}");
  }
  const Analysis analysis = analysis_of(file());
  ASSERT_EQ(analysis.comparisons.size(), 2u);
  EXPECT_EQ(analysis.comparisons[0].paired.method, PairedMethod::kTango);
  EXPECT_DOUBLE_EQ(analysis.comparisons[0].paired.difference.value, -0.24);
  EXPECT_EQ(analysis.comparisons[1].paired.method, PairedMethod::kBootstrap);
  EXPECT_DOUBLE_EQ(analysis.comparisons[1].paired.difference.value, -0.06);
  EXPECT_DOUBLE_EQ(analysis.overall[1].accuracy->value, 0.76);
  EXPECT_EQ(analysis.ladders[0].rungs[0].comparisons.size(), 1u);
  const Json rows = report_rows(analysis);
  EXPECT_EQ(rows[1]["accuracy"], 0.76);
  EXPECT_EQ(rows[3]["task"], "t (score)");
  EXPECT_NEAR(rows[3]["score"].get<double>(), 0.94, 1e-12);
  EXPECT_FALSE(rows[3].contains("accuracy"));
}

// Of several samples of an item the share that was cut off counts, not whether any was.
TEST_F(ReportOfRunsTest, SharesAreOfAnswers) {
  Store store(file());
  tools::RunConfig config = example_config("tasks", "m", "F16", 16, "f32", "f32");
  config.options = R"({"grader":"exact","samples":4})";
  const std::int64_t run = store.open(config);
  store.add(
      run,
      tools::Item{.id = "0",
                  .parsed = false,
                  .truncated = true,
                  .invented = true,
                  .details = R"({"accuracy":0.5,"truncated":0.25,"parsed":0.75,"invented":0.5})"});
  store.add(run, tools::Item{.index = 1, .id = "1", .parsed = true});
  store.finish(run, "{}");
  const Analysis analysis = analysis_of(file());
  EXPECT_DOUBLE_EQ(analysis.scores[0].accuracy.value, 0.25);
  EXPECT_DOUBLE_EQ(analysis.scores[0].truncated, 0.125);
  EXPECT_DOUBLE_EQ(analysis.scores[0].unparsed, 0.125);
  EXPECT_DOUBLE_EQ(analysis.scores[0].invented.value(), 0.5);
}

// Weights down, activations and KV cache across; none of one column.
TEST_F(QevalReportTest, DialShowsWeightsAndActivations) {
  const Analysis analysis = analysis_of(example());
  const std::string page = report_page(analysis, "");
  const std::size_t begin = page.find("<section id=\"dial\">");
  ASSERT_NE(begin, std::string::npos);
  const std::string dial = page.substr(begin, page.find("</section>", begin) - begin);
  EXPECT_EQ(count(dial, "<table>"), 1u + 5 + 1);  // mean, tasks, KL
  EXPECT_EQ(count(dial, ">f32, KV f32</th>"), 7u);
  EXPECT_EQ(count(dial, ">q8, KV f16</th>"), 7u);
  for (const tools::TaskScore& score : analysis.scores)
    EXPECT_NE(dial.find("<td class=\"n\">" + tools::percent(score.accuracy.value)),
              std::string::npos);
  const std::string one = path("one.sqlite");
  {
    Store store(one);
    const std::int64_t run = store.open(example_config("tasks", "m", "F16", 16, "f32", "f32"));
    store.add(run, tools::Item{.id = "0", .score = 1});
    store.finish(run, "{}");
  }
  EXPECT_EQ(report_page(analysis_of(one), "").find("id=\"dial\""), std::string::npos);
}

TEST_F(QevalReportTest, WrongUse) {
  const std::string store = "'" + example({.items = 5}) + "'", page = "'" + path("x.html") + "'";
  EXPECT_EQ(run("qeval report --store " + store).exit_code, 2);
  for (const char* points : {"2", "0pp", "-1pp", "100pp", "xpp", "2pp2", "nanpp"})
    for (const char* option : {" --tolerance=", " --equivalence="})
      EXPECT_EQ(run("qeval report --store " + store + " -o " + page + option + points).exit_code, 2)
          << option << points;
  EXPECT_EQ(run("qeval report --store " + store + " -o " + page + " --tolerance=''").exit_code, 2);
  // Nothing is written over what is read.
  EXPECT_EQ(run("qeval report --store " + store + " -o " + store).exit_code, 2);
  EXPECT_EQ(run("qeval report --store " + store + " --csv " + store).exit_code, 2);
  EXPECT_EQ(run("qeval report --store " + store + " --csv " + page + " -o " + page).exit_code, 2);
  EXPECT_EQ(run("qeval report --store " + store + " --json").exit_code, 0);
  const std::string wrong[] = {
      "qeval report --store '" + path("none.sqlite") + "' -o " + page,
      "qeval report --store '" + write("no-store", "not SQLite") + "' -o " + page,
      "qeval report --store " + store + " --baseline Q9 -o " + page,
      "qeval report --store " + store + " -o '" + path("no/folder.html") + "'",
      "qeval report --store " + store + " -o /dev/full"};
  for (const std::string& command : wrong) {
    const ToolResult result = run(command);
    EXPECT_EQ(result.exit_code, 1) << command;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << command << result.out << result.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path("x.html")));
  EXPECT_FALSE(std::filesystem::exists(path("none.sqlite")));
}

}  // namespace
}  // namespace brink::testing
