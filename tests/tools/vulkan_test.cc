// The tools with --backend vulkan.
#include "tests/support/vulkan.h"

#include <set>

#include "brink/vulkan/devices.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

using VulkanToolTest = ToolTest;

// A loader without a driver.
constexpr const char* kNoDriver = "VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent";

TEST_F(VulkanToolTest, QinfoListsDevices) {
  BRINK_REQUIRE_VULKAN();
  const ToolResult json = run("qinfo --devices --json");
  ASSERT_EQ(json.exit_code, 0) << json.err;
  const std::vector<vulkan::DeviceInfo> devices = vulkan::list_devices();
  const Json list = parse_json(json.out);
  ASSERT_EQ(list.size(), devices.size());
  EXPECT_EQ(list[0]["name"], devices[0].name);
  EXPECT_GT(list[0]["memory"], 0);
  const ToolResult text = run("qinfo --devices");
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_NE(text.out.find(devices[0].name), std::string::npos) << text.out;
}

TEST_F(VulkanToolTest, WithoutADriverEachToolSaysSo) {
  BRINK_REQUIRE_VULKAN();
  const std::string model = tiny_model();
  for (const std::string& command : {std::string("qinfo --devices"),
                                     "qbench -m '" + model + "' -p 8 -n 1 -r 1 --backend vulkan"}) {
    const ToolResult result = run(command, kNoDriver);
    EXPECT_EQ(result.exit_code, 1) << command;
    EXPECT_TRUE(result.is_one_error_of(command.substr(0, command.find(' ')))) << result.err;
    EXPECT_NE(result.err.find("no driver"), std::string::npos) << result.err;
  }
}

TEST_F(VulkanToolTest, TheCpuNeedsNoDriver) {
  const std::string model = tiny_model();
  EXPECT_EQ(run("qrun -m '" + model + "' -p Hello -n 1", kNoDriver).exit_code, 0);
  EXPECT_EQ(run("qinfo '" + model + "'", kNoDriver).exit_code, 0);
}

#ifdef BRINK_LAYER_FOLDER
constexpr char kLayer[] =
    "VK_LAYER_PATH='" BRINK_LAYER_FOLDER "' VK_INSTANCE_LAYERS=VK_LAYER_BRINK_failing ";

// Lost while the prompt is computed, and while a recorded step is replayed.
TEST_F(VulkanToolTest, ALostDeviceIsNamed) {
  BRINK_REQUIRE_VULKAN();
  const std::string name = parse_json(run("qinfo --devices --json").out)[0]["name"];
  const std::string command =
      "qrun -m '" + tiny_model() + "' -p Hello -n 8 --temp 0 --backend vulkan --device 0";
  for (const std::string wait : {"1", "5"}) {
    const ToolResult result = run(command, std::string(kLayer) + "BRINK_TEST_LOST=" + wait);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.err.ends_with("qrun: Vulkan device " + name +
                                     ": vkWaitForFences failed: device lost\n"))
        << result.err;
  }
}

TEST_F(VulkanToolTest, MemoryThatRunsOutIsNamed) {
  BRINK_REQUIRE_VULKAN();
  const std::string name = parse_json(run("qinfo --devices --json").out)[0]["name"];
  const std::string command =
      "qrun -m '" + tiny_model() + "' -p Hello -n 8 --temp 0 --backend vulkan --device 0";
  EXPECT_EQ(run(command, std::string(kLayer) + "BRINK_TEST_MEMORY=1000").exit_code, 0);
  // The weights' buffers, those of a step, and what a step allocates itself.
  int failures = 0;
  for (int allocation = 1; allocation < 64; ++allocation) {
    const ToolResult result =
        run(command, std::string(kLayer) + "BRINK_TEST_MEMORY=" + std::to_string(allocation));
    if (result.exit_code == 0) break;
    ++failures;
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.is_one_error_of("qrun")) << result.err;
    EXPECT_NE(result.err.find("Vulkan device " + name), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("out of device memory"), std::string::npos) << result.err;
  }
  EXPECT_GT(failures, 10);
}

TEST_F(VulkanToolTest, AMissingFeatureIsNamed) {
  BRINK_REQUIRE_VULKAN();
  const std::string name = parse_json(run("qinfo --devices --json").out)[0]["name"];
  const std::string layer = kLayer;
  const std::string command = "qrun -m '" + tiny_model() + "' -p Hello -n 1 --backend vulkan ";
  EXPECT_EQ(run(command, layer).exit_code, 0);  // the layer alone takes nothing
  for (const std::string feature :
       {"shaderInt64", "bufferDeviceAddress", "shaderIntegerDotProduct"}) {
    const std::string without = layer + "BRINK_TEST_WITHOUT=" + feature;
    const ToolResult result = run(command + "--device 0", without);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err, "qrun: the Vulkan device " + name + " lacks feature " + feature + "\n");
    EXPECT_EQ(parse_json(run("qinfo --devices --json", without).out)[0]["missing"],
              "feature " + feature);
  }
}
#endif

TEST_F(VulkanToolTest, UnknownDevicesAreNamed) {
  BRINK_REQUIRE_VULKAN();
  for (const char* device : {"99", "'no such device'"}) {
    const ToolResult result =
        run("qbench -m '" + tiny_model() + "' -p 8 -n 1 --backend vulkan --device " + device);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.is_one_error_of("qbench")) << result.err;
    EXPECT_NE(result.err.find(vulkan::list_devices()[0].name), std::string::npos) << result.err;
  }
}

TEST_F(VulkanToolTest, QbenchProfilesShaders) {
  BRINK_REQUIRE_VULKAN();
  const std::string model = tiny_model("Q4_K_M");
  const ToolResult result =
      run("qbench -m '" + model + "' -p 16 -n 4 -r 2 --backend vulkan --profile --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  ASSERT_EQ(json.size(), 2u);
  for (const Json& test : json) {
    EXPECT_TRUE(std::string(test["backend"]).starts_with("vulkan: ")) << test["backend"];
    std::set<std::string> shaders;
    for (const Json& shader : test["profile"]) {
      shaders.insert(shader["shader"]);
      EXPECT_GT(shader["calls"], 0);
      EXPECT_GE(shader["seconds"], 0.0);
    }
    EXPECT_TRUE(shaders.contains("rms_norm"));
  }
  // Two in each of two layers and the last one, in four steps, twice.
  for (const Json& shader : json[1]["profile"]) {
    if (shader["shader"] == "rms_norm") {
      EXPECT_EQ(shader["calls"], 5 * 4 * 2);
    }
  }
}

TEST_F(VulkanToolTest, LayersAreSharedWithTheCpu) {
  BRINK_REQUIRE_VULKAN();
  const std::string model = tiny_model("Q4_K_M");
  const std::string command = "qrun -m '" + model + "' -p Hello -n 24 --temp 0 --activations f32";
  const ToolResult cpu = run(command);
  ASSERT_EQ(cpu.exit_code, 0) << cpu.err;
  for (const char* layers : {"0", "1", "2", "99"}) {
    const ToolResult result = run(command + " --backend vulkan --gpu-layers " + layers);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, cpu.out) << layers;
  }
  // Nothing on a device needs none.
  EXPECT_EQ(run(command + " --backend vulkan --gpu-layers 0", kNoDriver).out, cpu.out);

  const std::string bench = "qbench -m '" + model + "' -p 16 -n 4 -r 1 --json --backend vulkan";
  const Json json = parse_json(run(bench + " --gpu-layers 1").out);
  const std::string backend = json[0]["backend"];
  EXPECT_TRUE(backend.starts_with("vulkan: ")) << backend;
  EXPECT_NE(backend.find("1 of 2 layers, then "), std::string::npos) << backend;

  const auto memory = [&](const std::string& flags) {
    return parse_json(run("qinfo '" + model + "' --json " + flags).out)["memory"];
  };
  const Json whole = memory("--backend vulkan"), part = memory("--backend vulkan --gpu-layers 1");
  EXPECT_EQ(memory("")["device"], 0);
  EXPECT_EQ(whole["device"], whole["total"]);
  EXPECT_EQ(part["kv_cache"], whole["kv_cache"]);
  EXPECT_LT(part["device"], whole["device"]);
  EXPECT_GT(part["device"], 0);
}

TEST_F(VulkanToolTest, LayersOnADeviceNeedOne) {
  const std::string model = tiny_model();
  for (const char* flags :
       {"--gpu-layers 1", "--backend vulkan --gpu-layers -1", "--backend vulkan --gpu-layers many"})
    for (const std::string& command : {"qrun -m '" + model + "' -p Hello -n 1 ",
                                       "qbench -m '" + model + "' ", "qinfo '" + model + "' "}) {
      const ToolResult result = run(command + flags);
      EXPECT_EQ(result.exit_code, 2) << command << flags;
      EXPECT_TRUE(result.is_one_error_of(command.substr(0, command.find(' ')))) << result.err;
      EXPECT_NE(result.err.find("--gpu-layers"), std::string::npos) << result.err;
    }
}

TEST_F(VulkanToolTest, TooLargeAContextIsAnErrorThatSaysWhatFits) {
  BRINK_REQUIRE_VULKAN();
  // Keys and values of one layer fit a buffer of the device, those of two do not.
  const std::uint64_t position = 2 * 2 * 64 * 2;  // bytes: key and value of two heads in f16
  std::uint64_t largest = 0;
  for (const vulkan::DeviceInfo& info : vulkan::list_devices())
    if (info.missing.empty() && info.kind == "CPU") largest = info.largest_buffer;
  const std::uint64_t context = largest / position * 3 / 4;
  if (largest == 0 || context > std::uint64_t{1} << 28)
    GTEST_SKIP() << "no device that runs on the CPU with a bound that can be reached";
  const ToolResult result = run("qrun -m '" + tiny_model() + "' -p Hello -n 1 --backend vulkan " +
                                "--device llvmpipe -c " + std::to_string(context));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(result.is_one_error_of("qrun")) << result.err;
  EXPECT_NE(result.err.find("its largest buffer"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("(--gpu-layers 1)"), std::string::npos) << result.err;
}

TEST_F(VulkanToolTest, ProfilesNeedADevice) {
  const ToolResult result = run("qbench -m '" + tiny_model() + "' --profile");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_TRUE(result.is_one_error_of("qbench")) << result.err;
}

}  // namespace
}  // namespace brink::testing
