// Products of a mixture of experts on a Vulkan device, slot by slot and ordered by expert.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "brink/vulkan/products.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/vulkan_products.h"

namespace brink::testing {
namespace {

TEST_P(VulkanProducts, ExpertsTakeTheirSlots) {
  constexpr u32 kExperts = 5, kRows = 37;
  std::mt19937_64 random(10);
  // Few slots, one after the other; then enough to order them, with an expert that fills more than
  // one tile of any size and one that has none.
  const std::vector<u32> few = {4, 0, 0, 3, 1, 2, 4, 4, 1, 3, 2, 0};
  std::vector<u32> many(212, 1);
  for (u32 s = 0; s < many.size(); s += 3) many[s] = s % 2 == 0 ? 4 : s % 9 == 0 ? 0 : 2;
  for (const u32 columns : widths()) {
    TestMatrix matrix(type(), kExperts * kRows, columns, random);
    const Buffer weights = upload(matrix);
    const vulkan::DeviceExperts experts{matrix.on_device, kRows, {}};
    const std::vector<float> scales = {0.5f, -2.0f, 1.0f, 3e-3f, 700.0f};
    const Buffer scale_buffer = filled(scales);
    for (const std::vector<u32>& ids : {few, many}) {
      const Buffer id_buffer = filled(ids);
      const auto slots = static_cast<u32>(ids.size());
      const bool ordered = slots > vulkan::Products::kMatvecRows * kExperts;
      const std::vector<float> x = random_activations(slots, columns, columns, random);
      const Buffer input = filled(x);
      for (const Activations form : kForms) {
        const bool f16 = ordered && cooperates(form);
        const Sums sums = float64_product(matrix, x, slots, columns, form, f16);
        vulkan::Products all = products(form, slots, columns, kExperts);
        for (const u32 per_row : {1u, 4u})
          for (const bool scaled : {false, true}) {
            if (ordered && scaled != (per_row == 4)) continue;
            const u32 count = slots * kRows;
            const Buffer y = outputs(count + 8);
            Recording recording(device());
            recording.begin();
            const vulkan::ExpertProduct product{&experts,
                                                scaled ? scale_buffer.address() : 0,
                                                id_buffer.address(),
                                                slots,
                                                per_row,
                                                y.address()};
            all.multiply(recording, Rows{input.address(), columns, slots / per_row}, columns,
                         std::span(&product, 1));
            recording.end();
            device().run(recording);
            for (u32 i = 0; i < count; ++i) {
              const u32 slot = i / kRows, row = ids[slot] * kRows + i % kRows;
              const u32 at = slot / per_row * matrix.rows + row;
              const double scale = scaled ? double{scales[ids[slot]]} : 1.0;
              ASSERT_NEAR(y.as<float>()[i], scale * sums.exact[at],
                          bound_of(type(), form, f16) * std::fabs(scale) * sums.magnitude[at])
                  << name_of(form) << " columns " << columns << " slots " << slots << " slot "
                  << slot << " row " << i % kRows;
            }
            for (u32 i = count; i < count + 8; ++i) ASSERT_EQ(y.as<float>()[i], kUntouched);
          }
      }
    }
  }
}

class VulkanExperts : public VulkanProducts {};

// Two products of one call have the same slots; the first may need other tiles than the second.
TEST_P(VulkanExperts, OfDifferentSizesShareTheirSlots) {
  constexpr u32 kExperts = 3, kSlots = 300;
  std::mt19937_64 random(11);
  std::vector<u32> ids(kSlots);
  for (u32& id : ids) id = static_cast<u32>(random() % kExperts);
  const Buffer id_buffer = filled(ids);
  const u32 columns = widths().front(), rows[] = {5, 4100};
  TestMatrix small(type(), kExperts * rows[0], columns, random);
  TestMatrix large(type(), kExperts * rows[1], columns, random);
  const Buffer small_weights = upload(small), large_weights = upload(large);
  const vulkan::DeviceExperts experts[] = {{small.on_device, rows[0], {}},
                                           {large.on_device, rows[1], {}}};
  const std::vector<float> x = random_activations(kSlots, columns, columns, random);
  const Buffer input = filled(x);
  for (const Activations form : {Activations::kF32, Activations::kQ8}) {
    const Buffer both[] = {outputs(kSlots * rows[0]), outputs(kSlots * rows[1])};
    const Buffer alone[] = {outputs(kSlots * rows[0]), outputs(kSlots * rows[1])};
    vulkan::Products all = products(form, kSlots, columns, kExperts);
    const auto product = [&](std::size_t i, const Buffer& y) {
      return vulkan::ExpertProduct{&experts[i], 0, id_buffer.address(), kSlots, 1, y.address()};
    };
    const vulkan::ExpertProduct pair[] = {product(0, both[0]), product(1, both[1])};
    const vulkan::ExpertProduct one = product(0, alone[0]), other = product(1, alone[1]);
    Recording recording(device());
    recording.begin();
    for (const std::span<const vulkan::ExpertProduct> products :
         {std::span<const vulkan::ExpertProduct>(pair), {&one, 1}, {&other, 1}}) {
      all.multiply(recording, Rows{input.address(), columns, kSlots}, columns, products);
      recording.barrier();
    }
    recording.end();
    device().run(recording);
    for (std::size_t i = 0; i < 2; ++i)
      ASSERT_EQ(std::memcmp(both[i].as<float>(), alone[i].as<float>(), kSlots * rows[i] * 4), 0)
          << name_of(form) << " product " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, VulkanProducts,
                         ::testing::ValuesIn(sanitized_sample(shader_types(), 4)),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

INSTANTIATE_TEST_SUITE_P(Types, VulkanExperts,
                         ::testing::Values(TensorType::kF16, TensorType::kQ4_K),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

}  // namespace
}  // namespace brink::testing
