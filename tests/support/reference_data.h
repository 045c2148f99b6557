// Finds the reference data that lies beside a development checkout.
#ifndef BRINK_TESTS_SUPPORT_REFERENCE_DATA_H_
#define BRINK_TESTS_SUPPORT_REFERENCE_DATA_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace brink::testing {

/// Folder of the reference data: $BRINK_REFERENCE_DATA, else ../shared/data beside the source tree
/// (BRINK_SOURCE_DIR) or beside a folder above the current one; empty when there is none.
inline std::string reference_data_root() {
  namespace fs = std::filesystem;
  if (const char* root = std::getenv("BRINK_REFERENCE_DATA")) return root;
  fs::path start = fs::current_path();
#ifdef BRINK_SOURCE_DIR
  start = BRINK_SOURCE_DIR;
#endif
  for (fs::path p = start; !p.empty(); p = p.parent_path()) {
    const fs::path candidate = p.parent_path() / "shared" / "data";
    if (fs::exists(candidate / "README.md")) return candidate.string();
    if (p == p.parent_path()) break;
  }
  return "";
}

inline std::string reference_data(const std::string& name) {
  return reference_data_root() + "/" + name;
}

}  // namespace brink::testing

/// Skips the test, saying so, where the reference data are absent; with BRINK_CI set that is a
/// failure instead, so that continuous integration cannot lose them unnoticed.
#define BRINK_REQUIRE_REFERENCE_DATA()                                           \
  do {                                                                           \
    if (::brink::testing::reference_data_root().empty()) {                       \
      if (std::getenv("BRINK_CI")) FAIL() << "reference data not found";         \
      GTEST_SKIP() << "reference data (../shared/data) not found: test not run"; \
    }                                                                            \
  } while (false)

#endif  // BRINK_TESTS_SUPPORT_REFERENCE_DATA_H_
