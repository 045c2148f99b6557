#include "brink/cpu/row_split.h"

#include <gtest/gtest.h>

namespace brink {
namespace {

// Items must cover every row once, in order, whatever the sizes; sizes never grow.
TEST(RowSplit, CoversAllRowsWithShrinkingItems) {
  for (const std::size_t rows : {0, 1, 2, 7, 64, 512, 2048, 8193, 128256}) {
    for (const std::size_t bytes : {1, 18, 1152, 8704, 1 << 20}) {
      for (const std::size_t threads : {1, 2, 3, 16}) {
        const RowSplit split(rows, bytes, threads);
        std::size_t last = rows + 1;
        ASSERT_EQ(split.begin(0), 0u);
        ASSERT_EQ(split.begin(split.items()), rows);
        for (std::size_t i = 0; i < split.items(); ++i) {
          ASSERT_LE(split.begin(i), split.begin(i + 1));
          const std::size_t size = split.begin(i + 1) - split.begin(i);
          // Rounding may make neighbours differ by a row.
          ASSERT_LE(size, last + 1) << rows << " rows, item " << i;
          last = size;
        }
      }
    }
  }
}

TEST(RowSplit, StartsWithLargeItemsAndEndsWithSmallOnes) {
  const RowSplit split(2048, 1152, 2);
  EXPECT_EQ(split.begin(1) - split.begin(0), 512u);  // a quarter each
  const std::size_t end = split.items();
  const std::size_t last = (split.begin(end) - split.begin(end - 1)) * 1152;
  EXPECT_GE(last, RowSplit::kLeastBytes);
  EXPECT_LE(last, 2 * RowSplit::kLeastBytes);
}

}  // namespace
}  // namespace brink
