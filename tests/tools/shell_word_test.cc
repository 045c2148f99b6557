// Words of command lines, as a shell reads them back.
#include "tools/support/shell_word.h"

#include <gtest/gtest.h>
#include <stdio.h>

#include <cstddef>
#include <cstdio>
#include <string>

namespace brink::tools {
namespace {

std::string read_by_shell(const std::string& word) {
  std::FILE* const out = ::popen(("printf '%s|' " + word).c_str(), "r");
  std::string text;
  char buffer[256];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, out))
    text.append(buffer, got);
  ::pclose(out);
  return text;
}

TEST(ShellWord, IsReadBackAsItWas) {
  for (const std::string text :
       {"Q4_K_M", "", "two words", "it's", "$HOME `x` \"y\" \\ * ?", "a\nb", "''", "ä", "~", "-f"})
    EXPECT_EQ(read_by_shell(shell_word(text)), text + "|") << shell_word(text);
}

TEST(ShellWord, StaysPlainWhereItCan) {
  EXPECT_EQ(shell_word("--tolerance=2pp,/tmp/a-b_c.gguf:1+1%@"),
            "--tolerance=2pp,/tmp/a-b_c.gguf:1+1%@");
  EXPECT_EQ(shell_word("a b"), "'a b'");
}

}  // namespace
}  // namespace brink::tools
