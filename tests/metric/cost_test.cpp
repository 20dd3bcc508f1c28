#include <gibbsite/metric/cost.h>
#include <gtest/gtest.h>
#include <time.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

std::int64_t count(const Work& work) { return count_multiply_adds(work).total; }

TEST(MultiplyAdds, Products) {
  const Tensor a = at::ones({3, 5}), b = at::ones({5, 7}), v = at::ones({5});
  EXPECT_EQ(count([&] { at::mm(a, b); }), 3 * 5 * 7);
  EXPECT_EQ(count([&] { at::matmul(a, b); }), 3 * 5 * 7);
  EXPECT_EQ(count([&] { at::addmm(at::ones({7}), a, b); }), 3 * 5 * 7);
  EXPECT_EQ(count([&] { at::linear(a, b.t(), at::ones({7})); }), 3 * 5 * 7);
  EXPECT_EQ(count([&] { at::mv(a, v); }), 3 * 5);
  EXPECT_EQ(count([&] { at::addmv(at::ones({3}), a, v); }), 3 * 5);
  EXPECT_EQ(count([&] { at::dot(v, v); }), 5);
  EXPECT_EQ(count([&] { at::bmm(at::ones({2, 3, 5}), at::ones({2, 5, 7})); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(count([&] { at::baddbmm(at::ones({2, 3, 7}), at::ones({2, 3, 5}), at::ones({2, 5, 7})); }), 2 * 3 * 5 * 7);
  EXPECT_EQ(count([&] { (a + a).exp(); }), 0);
}

TEST(MultiplyAdds, Convolutions) {
  const Tensor x = at::ones({2, 4, 9, 8});
  // Output 9 x 8 with padding 1.
  EXPECT_EQ(count([&] { at::conv2d(x, at::ones({6, 4, 3, 3}), {}, 1, 1); }), 2 * 6 * 9 * 8 * 4 * 9);
  // Stride 2 without padding: output (9 - 3) / 2 + 1 = 4 by (8 - 3) / 2 + 1 = 3.
  EXPECT_EQ(count([&] { at::conv2d(x, at::ones({6, 4, 3, 3}), {}, 2); }), 2 * 6 * 4 * 3 * 4 * 9);
  // Groups: every output channel sees two of the four input channels.
  EXPECT_EQ(count([&] {
              at::conv2d(x, at::ones({6, 2, 3, 3}), {}, 1, at::IntArrayRef(1), 1, 2);
            }),
            2 * 6 * 9 * 8 * 2 * 9);
  // Dilation 2 reaches over 5 pixels: output 5 x 4.
  EXPECT_EQ(count([&] { at::conv2d(x, at::ones({6, 4, 3, 3}), {}, 1, at::IntArrayRef(0), 2); }), 2 * 6 * 5 * 4 * 4 * 9);
  // Transposed: every input pixel is spread over 5 output channels.
  EXPECT_EQ(count([&] { at::conv_transpose2d(x, at::ones({4, 5, 2, 2}), {}, 2); }), 2 * 4 * 9 * 8 * 5 * 4);
  EXPECT_EQ(count([&] { at::conv1d(at::ones({1, 3, 10}), at::ones({2, 3, 4})); }), 2 * 7 * 3 * 4);
}

TEST(MultiplyAdds, ReversePassesCostWhatTheyCompute) {
  const Tensor x = at::ones({8, 3}).requires_grad_(true), w = at::ones({5, 3}).requires_grad_(true);
  const std::int64_t forward = 8 * 3 * 5;
  const Tensor y = at::linear(x, w);
  EXPECT_EQ(count([&] { torch::autograd::grad({y.square().sum()}, {x, w}, {}, true); }), 2 * forward);
  EXPECT_EQ(count([&] { torch::autograd::grad({y.square().sum()}, {x}, {}, true); }), forward);

  const Tensor image = at::ones({2, 3, 6, 6}).requires_grad_(true),
               kernel = at::ones({4, 3, 3, 3}).requires_grad_(true);
  const std::int64_t convolution = 2 * 4 * 6 * 6 * 27;
  const MultiplyAdds sums = count_multiply_adds([&] {
    const Tensor out = at::conv2d(image, kernel, Tensor(), 1, 1);
    torch::autograd::grad({out.square().sum()}, {image, kernel});
  });
  EXPECT_EQ(sums.total, 3 * convolution);
  EXPECT_EQ(sums.by_operation.at("convolution"), convolution);
  EXPECT_EQ(sums.by_operation.at("convolution_backward"), 2 * convolution);

  const Tensor wide = at::ones({1, 2, 5, 5}).requires_grad_(true), spread = at::ones({2, 3, 2, 2}).requires_grad_(true);
  EXPECT_EQ(count([&] {
              torch::autograd::grad({at::conv_transpose2d(wide, spread).square().sum()}, {wide, spread});
            }),
            3 * 50 * 12);
}

TEST(MultiplyAdds, NestedCountsAddUpAndAnErrorEndsTheCount) {
  const Tensor a = at::ones({2, 2});
  std::int64_t inner = 0;
  const std::int64_t outer = count([&] {
    at::mm(a, a);
    inner = count([&] { at::mm(a, a); });
    at::mm(a, a);
  });
  EXPECT_EQ(inner, 8);
  EXPECT_EQ(outer, 24);
  EXPECT_THROW(count([&] { at::mm(a, at::ones({3, 3})); }), c10::Error);
  at::mm(a, a);
  EXPECT_EQ(count([&] { at::mm(a, a); }), 8);
}

void sleep_seconds(double seconds) {
  timespec time{0, static_cast<long>(seconds * 1e9)};
  ::nanosleep(&time, nullptr);
}

TEST(Timing, IsInterleavedAndTellsWaitingFromWorking) {
  std::string order;
  TimingSettings settings;
  settings.warmup = 1;
  settings.rounds = 5;
  const std::vector<Timing> timings = time_interleaved({[&] {
                                                          order += 'a';
                                                          sleep_seconds(0.01);
                                                        },
                                                        [&] {
                                                          order += 'b';
                                                          sleep_seconds(0.03);
                                                        }},
                                                       settings);
  EXPECT_EQ(order, "abababababab");
  EXPECT_EQ(timings[0].rounds.size(), 5u);
  EXPECT_GE(timings[0].seconds.value, 0.01);
  EXPECT_GE(timings[1].seconds.value, 0.03);
  EXPECT_LT(timings[0].cpu_seconds.value, 0.005);
  EXPECT_GT(time_ratio(timings[1], timings[0]).value, 1.2);
}

TEST(Timing, MedianAndItsStandardError) {
  EXPECT_EQ(median_estimate({3, 1, 2}).value, 2);
  EXPECT_EQ(median_estimate({4, 1, 2, 3}).value, 2.5);
  EXPECT_TRUE(std::isnan(median_estimate({1}).standard_error));
  // Uniform numbers: the median of n has standard deviation 1 / (2 sqrt(n)).
  std::vector<double> uniform;
  uniform.reserve(10000);
  for (int i = 0; i < 10000; ++i) uniform.push_back((i * 7919 % 10000) / 10000.0);
  EXPECT_NEAR(median_estimate(uniform).standard_error, 0.005, 0.0002);
}

TEST(PeakBytes, CountsWhatIsAliveAtOnce) {
  const std::int64_t peak = peak_bytes([] {
    { const Tensor first = at::empty({1000}, at::kDouble); }
    const Tensor second = at::empty({1000}, at::kDouble), third = at::empty({500}, at::kDouble);
  });
  EXPECT_GE(peak, 12000);
  EXPECT_LT(peak, 13000);
}

}  // namespace
}  // namespace gibbsite
