// Values of tests/data/eval/paired_statistics.py.
#ifndef BRINK_TESTS_SUPPORT_EVAL_REFERENCE_H_
#define BRINK_TESTS_SUPPORT_EVAL_REFERENCE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "brink/eval/proportions.h"

namespace brink::testing {

inline const nlohmann::json& paired_reference() {
  static const nlohmann::json reference = [] {
    std::ifstream in(BRINK_SOURCE_DIR "/tests/data/eval/paired_statistics.json");
    return nlohmann::json::parse(in);
  }();
  return reference;
}

inline PairedCounts counts_of(const nlohmann::json& cells) {
  return {cells[0].get<double>(), cells[1].get<double>(), cells[2].get<double>(),
          cells[3].get<double>()};
}

inline void expect_interval(const Interval& interval, const nlohmann::json& expected,
                            double tolerance, const std::string& what) {
  EXPECT_NEAR(interval.low, expected[0].get<double>(), tolerance) << what;
  EXPECT_NEAR(interval.high, expected[1].get<double>(), tolerance) << what;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_EVAL_REFERENCE_H_
