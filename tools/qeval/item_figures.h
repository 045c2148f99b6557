// What of a stored item's answers is averaged.
#ifndef BRINK_TOOLS_QEVAL_ITEM_FIGURES_H_
#define BRINK_TOOLS_QEVAL_ITEM_FIGURES_H_

#include <optional>

#include "tools/qeval/store.h"

namespace brink::tools {

/// Of a single answer 0 or 1, of several samples their share, so that an item counts once.
struct ItemFigures {
  double accuracy = 0;                 ///< right
  double score = 0;                    ///< mean grade
  std::optional<double> normalized{};  ///< right by the length-normalised choice
  double truncated = 0;
  double parsed = 1;
  std::optional<double> invented{};  ///< of those where it can be told
};

/// Reads an item's details, also of stores that do not have all of them. Throws Error where they
/// are damaged.
ItemFigures figures_of(const Item& item);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_ITEM_FIGURES_H_
