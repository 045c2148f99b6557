// Damaged files on a Vulkan device: an error or a model that runs, never a crash, a hang or a lost
// device.
#include "tests/support/damaged_models.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

class VulkanCorruption : public DamagedModels {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_VULKAN();
    device_ = vulkan::Device::open();  // kept, so that all sessions share its pipelines
    DamagedModels::SetUp();
  }
  void TearDown() override {
    if (device_ != nullptr) expect_silent_validation(*device_);
  }

  const SessionOptions options_{
      .context = 64, .threads = 1, .batch = 16, .backend = BackendKind::kVulkan};
  const SessionOptions one_layer_{.context = 64,
                                  .threads = 1,
                                  .batch = 16,
                                  .backend = BackendKind::kVulkan,
                                  .device_layers = 1};

 private:
  std::shared_ptr<vulkan::Device> device_;
};

INSTANTIATE_TEST_SUITE_P(Files, VulkanCorruption,
                         ::testing::Values("quantized/micro-llama-Q4_K_M.gguf",
                                           "models/tiny-mixtral-f16.gguf"));

TEST_P(VulkanCorruption, CutAnywhere) {
  cut(20, options_);
  EXPECT_EQ(errors_, 20);
}

TEST_P(VulkanCorruption, BytesAndLengthsOverwritten) {
  overwrite(120, options_);
  overwrite(40, one_layer_);
  EXPECT_GT(errors_, 8);
  EXPECT_GT(runs_, 8);
}

// Routing must find experts even where no number is larger than another.
TEST_P(VulkanCorruption, WeightsThatAreNoNumbers) {
  spoil(8, 1, options_);
  spoil(8, 4, options_);
  spoil(4, 4, one_layer_);
  EXPECT_EQ(runs_, 20);
}

}  // namespace
}  // namespace brink::testing
