// Text generation as a range of pieces.
#ifndef BRINK_MODEL_GENERATE_H_
#define BRINK_MODEL_GENERATE_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "brink/text/sampler.h"

namespace brink {

class Session;

struct GenerateOptions {
  std::size_t max_tokens = 256;
  SamplingOptions sampling = {};
  std::vector<std::string> stop = {};  ///< texts that end the generation and are not shown
  std::size_t sequence = 0;
};

/// Why a generation ended.
enum class Finish : std::uint8_t {
  kNone,       ///< it has not ended
  kEndOfText,  ///< the model said so
  kStop,       ///< a stop text appeared
  kMaxTokens,
  kContext,  ///< the context is full
};

/// A single-pass range of std::string_view, made by Session::generate.
class Generation {
 public:
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Generation* generation) : generation_(generation) {}
    std::string_view operator*() const { return generation_->piece(); }
    Iterator& operator++() {
      generation_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return generation_->done(); }

   private:
    Generation* generation_;
  };

  Generation(Generation&&) noexcept;
  Generation& operator=(Generation&&) noexcept;
  ~Generation();

  /// Feeds the prompt at the first call.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  /// Prompt tokens fed and tokens sampled so far.
  std::size_t prompt_tokens() const;
  std::size_t tokens() const;
  Finish finish() const;

 private:
  friend class Session;
  struct State;
  explicit Generation(std::unique_ptr<State> state);

  std::string_view piece() const;
  bool done() const;
  void advance();

  std::unique_ptr<State> state_;
};

}  // namespace brink

#endif  // BRINK_MODEL_GENERATE_H_
