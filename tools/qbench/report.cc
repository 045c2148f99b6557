#include "tools/qbench/report.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tools/support/json.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

double min_of(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}
double max_of(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

std::string percent(const std::vector<double>& shares) { return fixed(100 * median(shares), 1); }

std::string csv_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

// One table a test: where the time of all its samples went.
std::string profile_report(const Result& r) {
  double all = 0;
  for (const Backend::Work& work : r.profile) all += work.seconds;
  Table table({"shader", ">calls", ">ms", ">us a call", ">%"});
  for (const Backend::Work& work : r.profile)
    table.add({work.name, std::to_string(work.calls), fixed(work.seconds * 1e3, 2),
               fixed(work.seconds / static_cast<double>(work.calls) * 1e6, 1),
               fixed(100 * work.seconds / all, 1)});
  return "\n" + r.type + " " + r.test + ", time on the device:\n" + table.text();
}

Json to_json(const std::vector<Backend::Work>& profile) {
  Json array = Json::array();
  for (const Backend::Work& work : profile)
    array.push_back({{"shader", work.name}, {"calls", work.calls}, {"seconds", work.seconds}});
  return array;
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

std::string table_report(std::span<const Result> results) {
  Table table({"model", "type", ">MiB", "test", ">tokens/s", ">min", ">max", ">x one", ">read %",
               ">int8 %", ">load s", ">first token s", ">peak MiB"});
  std::vector<double> read, int8;
  for (const Result& r : results) {
    table.add({printable(std::filesystem::path(r.model).filename().string(), 40), r.type,
               fixed(static_cast<double>(r.bytes) / 0x1p20, 0), r.test,
               fixed(median(r.tokens_per_second), 2), fixed(min_of(r.tokens_per_second), 2),
               fixed(max_of(r.tokens_per_second), 2),
               r.sequences > 1 ? fixed(median(r.ratios_to_one), 2) : "",
               percent(r.bandwidth_shares), percent(r.int8_shares), fixed(r.start.load_seconds, 3),
               fixed(r.start.first_token_seconds, 2),
               fixed(static_cast<double>(r.start.peak_rss_bytes) / 0x1p20, 0)});
    for (const Ceilings& c : r.ceilings) {
      read.push_back(c.read_bytes_per_second);
      int8.push_back(c.int8_ops_per_second);
    }
  }
  std::string text = table.text();
  if (results.empty()) return text;
  for (const Result& r : results)
    if (!r.profile.empty()) text += profile_report(r);
  const bool device = results[0].backend.starts_with("vulkan");
  text +=
      std::string("\nShares are of ") +
      (device ? results[0].backend + "'s copy bandwidth (" : "this machine's read bandwidth (") +
      fixed(median(read) / 1e9, 1) + " GB/s) and int8 rate (" + fixed(median(int8) / 1e9, 0) +
      " Gop/s), measured beside each sample" +
      (device ? "" : " with " + std::to_string(results[0].threads) + " threads") + ".\n";
  return text;
}

std::string json_report(std::span<const Result> results) {
  Json array = Json::array();
  for (const Result& r : results)
    array.push_back({{"model", r.model},
                     {"type", r.type},
                     {"bytes", r.bytes},
                     {"test", r.test},
                     {"depth", r.depth},
                     {"sequences", r.sequences},
                     {"tokens_per_second",
                      {{"median", median(r.tokens_per_second)},
                       {"min", min_of(r.tokens_per_second)},
                       {"max", max_of(r.tokens_per_second)},
                       {"samples", r.tokens_per_second}}},
                     {"ratio_to_one", median(r.ratios_to_one)},
                     {"bandwidth_share", median(r.bandwidth_shares)},
                     {"int8_share", median(r.int8_shares)},
                     {"load_seconds", r.start.load_seconds},
                     {"first_token_seconds", r.start.first_token_seconds},
                     {"peak_rss_bytes", r.start.peak_rss_bytes},
                     {"threads", r.threads},
                     {"backend", r.backend},
                     {"profile", to_json(r.profile)}});
  return to_text(array, 1);
}

std::string csv_report(std::span<const Result> results) {
  std::string text =
      "model,type,bytes,test,depth,sequences,tokens_per_second_median,tokens_per_second_min,"
      "tokens_per_second_max,ratio_to_one,bandwidth_share,int8_share,load_seconds,first_token_"
      "seconds,peak_rss_bytes,threads\n";
  for (const Result& r : results) {
    text += csv_text(r.model) + ',' + csv_text(r.type) + ',' + std::to_string(r.bytes) + ',' +
            r.test + ',' + std::to_string(r.depth) + ',' + std::to_string(r.sequences);
    for (const double value :
         {median(r.tokens_per_second), min_of(r.tokens_per_second), max_of(r.tokens_per_second),
          median(r.ratios_to_one), median(r.bandwidth_shares), median(r.int8_shares),
          r.start.load_seconds, r.start.first_token_seconds})
      text += ',' + number(value);
    text += ',' + std::to_string(r.start.peak_rss_bytes) + ',' + std::to_string(r.threads) + '\n';
  }
  return text;
}

}  // namespace brink::tools
