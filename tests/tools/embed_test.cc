// A program built against the installed headers only, see tests/embed.
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

using EmbedTest = ToolTest;

TEST_F(EmbedTest, InstalledHeadersAreEnough) {
  const std::string out = path("out");
  const int status =
      std::system(("'" BRINK_SOURCE_DIR "/tests/embed/run.sh' '" BRINK_BINARY_DIR "' '" +
                   tiny_model() + "' >'" + out + "' 2>&1")
                      .c_str());
  EXPECT_EQ(status, 0) << read_file(out);
}

}  // namespace
}  // namespace brink::testing
