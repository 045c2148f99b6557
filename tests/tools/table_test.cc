// Tables for people: columns side by side, and what becomes of them on a narrow terminal.
#include "tools/support/table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace brink::testing {
namespace {

using tools::Table;

Table results() {
  Table table({"model", "weights", "activations", "kv", ">perplexity [95 %]", ">+-", ">tokens/s"});
  table.add({"a.gguf", "Q4_K_M", "q8", "f16", "7.6480 [7.1, 8.2]", "0.1", "1234.5"});
  table.add({"a.gguf", "Q8_0", "q8", "f16", "7.5500 [7.0, 8.1]", "0.1", "987.6"});
  return table;
}

std::size_t widest(const std::string& text) {
  std::size_t width = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) width = std::max(width, line.size());
  return width;
}

TEST(Table, IsAsWideAsItsCellsWhereThereIsRoom) {
  const std::string text =
      "model   weights  activations  kv   perplexity [95 %]   +-  tokens/s\n"
      "a.gguf  Q4_K_M   q8           f16  7.6480 [7.1, 8.2]  0.1    1234.5\n"
      "a.gguf  Q8_0     q8           f16  7.5500 [7.0, 8.1]  0.1     987.6\n";
  EXPECT_EQ(results().text(0), text);
  EXPECT_EQ(results().text(widest(text)), text);
}

TEST(Table, NamesThatAllRowsShareStandBefore) {
  EXPECT_EQ(results().text(60),
            "activations q8, kv f16\n"
            "model   weights  perplexity [95 %]   +-  tokens/s\n"
            "a.gguf  Q4_K_M   7.6480 [7.1, 8.2]  0.1    1234.5\n"
            "a.gguf  Q8_0     7.5500 [7.0, 8.1]  0.1     987.6\n");
}

TEST(Table, WhatDoesNotFitFollowsWithItsNames) {
  EXPECT_EQ(results().text(40),
            "activations q8, kv f16\n"
            "model   weights  perplexity [95 %]   +-\n"
            "a.gguf  Q4_K_M   7.6480 [7.1, 8.2]  0.1\n"
            "a.gguf  Q8_0     7.5500 [7.0, 8.1]  0.1\n"
            "\n"
            "activations q8, kv f16\n"
            "model   weights  tokens/s\n"
            "a.gguf  Q4_K_M     1234.5\n"
            "a.gguf  Q8_0        987.6\n");
  for (std::size_t width = 36; width < 90; ++width) EXPECT_LE(widest(results().text(width)), width);
  // Too narrow for anything: a column a block, and nothing is lost.
  const std::string narrow = results().text(1);
  for (const char* part : {"q8", "f16", "7.6480 [7.1, 8.2]", "0.1", "987.6", "Q8_0"})
    EXPECT_NE(narrow.find(part), std::string::npos) << part;
  EXPECT_EQ(Table({"a", ">b"}).text(1), "a  b\n");
}

}  // namespace
}  // namespace brink::testing
