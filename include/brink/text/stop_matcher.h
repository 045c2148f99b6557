// Stop strings over a stream of text.
#ifndef BRINK_TEXT_STOP_MATCHER_H_
#define BRINK_TEXT_STOP_MATCHER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace brink {

/// Lets text through until one of the stop strings appears in it. Only the bytes that may still
/// become a stop string are held back; everything before them is given out at once. What comes out
/// does not depend on how the text was cut into pieces: the stop string that is complete first
/// ends the stream (of several that end at the same byte the longest), and neither it nor anything
/// after it is given out. When pieces and stop strings are whole UTF-8 characters, so is the
/// output.
///
/// Aho and Corasick, "Efficient string matching" (1975): the cost per byte does not grow with the
/// number of stop strings.
class StopMatcher {
 public:
  /// Throws Error on an empty stop string. No stop strings at all: everything passes.
  explicit StopMatcher(const std::vector<std::string>& stops);

  /// Adds `text` and returns what is certain to lie before any stop string. `stopped` tells whether
  /// a stop string has been seen, now or earlier.
  std::string push(std::string_view text, bool& stopped);

  /// The stream has ended: what was still held back (nothing after a stop).
  std::string finish();

 private:
  struct Node {
    std::map<char, std::uint32_t> next;
    std::uint32_t fallback = 0;  // the longest proper suffix that is a prefix of a stop string
    std::size_t depth = 0;       // bytes from the root: what must be held back in this state
    std::size_t match = 0;       // bytes of the longest stop string that ends here, or 0
  };

  std::uint32_t step(std::uint32_t state, char byte) const;

  std::vector<Node> nodes_;  // [0] is the root
  std::uint32_t state_ = 0;
  std::string held_;  // always nodes_[state_].depth bytes
  bool stopped_ = false;
};

}  // namespace brink

#endif  // BRINK_TEXT_STOP_MATCHER_H_
