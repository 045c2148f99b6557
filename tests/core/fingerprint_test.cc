#include "brink/core/fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>

namespace brink {
namespace {

TEST(Fingerprint, IsXxh3Of128Bits) {
  // As `xxh128sum` (xxHash 0.8.1) prints them.
  EXPECT_EQ(fingerprint(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(fingerprint("a"), "a96faf705af16834e6c632b61e964e1f");
}

TEST(Fingerprint, DoesNotDependOnThePieces) {
  std::mt19937 random(2);
  std::string data(100000, '\0');
  for (char& c : data) c = static_cast<char>(random());
  for (int round = 0; round < 20; ++round) {
    Fingerprint pieces;
    for (std::size_t at = 0; at < data.size();) {
      const std::size_t length = std::min<std::size_t>(random() % 9000, data.size() - at);
      pieces.add(std::string_view(data).substr(at, length));
      at += length;
    }
    EXPECT_EQ(pieces.hex(), fingerprint(data));
  }
}

TEST(Fingerprint, ChangesWithEveryBit) {
  std::string data(300, 'a');
  const std::string before = fingerprint(data);
  for (char& c : data) {
    c = static_cast<char>(c ^ 1);
    EXPECT_NE(fingerprint(data), before);
    c = static_cast<char>(c ^ 1);
  }
}

}  // namespace
}  // namespace brink
