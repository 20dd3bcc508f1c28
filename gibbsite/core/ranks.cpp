#include <fmt/format.h>
#include <gibbsite/core/ranks.h>
#include <torch/types.h>

#include <vector>

namespace gibbsite {
namespace {

// Number of tensors, then per tensor: dtype, dimensions, sizes, length of the name and its characters; all as int64.
std::vector<std::int64_t> described(const NamedTensors& tensors) {
  std::vector<std::int64_t> text = {static_cast<std::int64_t>(tensors.size())};
  for (const auto& [name, tensor] : tensors) {
    text.push_back(static_cast<std::int64_t>(tensor.scalar_type()));
    text.push_back(tensor.dim());
    text.insert(text.end(), tensor.sizes().begin(), tensor.sizes().end());
    text.push_back(static_cast<std::int64_t>(name.size()));
    for (const char c : name) text.push_back(static_cast<unsigned char>(c));
  }
  return text;
}

NamedTensors empty_as_described(const std::int64_t* at) {
  NamedTensors tensors;
  for (std::int64_t left = *at++; left > 0; --left) {
    const auto dtype = static_cast<at::ScalarType>(*at++);
    const std::int64_t dimensions = *at++;
    const Shape shape(at, at + dimensions);
    at += dimensions;
    const std::int64_t length = *at++;
    const std::string name(at, at + length);
    at += length;
    tensors.emplace_back(name, torch::empty(shape, torch::dtype(dtype)));
  }
  return tensors;
}

}  // namespace

std::unique_ptr<Ranks::Pending> Ranks::begin_sum(const Tensor& /*x*/) { return std::make_unique<Pending>(); }

NamedTensors broadcast(Ranks& ranks, const NamedTensors& tensors) {
  if (ranks.alone()) return tensors;
  std::vector<std::int64_t> text = described(tensors);
  const Tensor length = torch::tensor(static_cast<std::int64_t>(text.size()), torch::kLong);
  ranks.broadcast(length);
  text.resize(static_cast<std::size_t>(length.item<std::int64_t>()));
  const Tensor description = torch::tensor(text, torch::kLong);
  ranks.broadcast(description);

  NamedTensors shared = empty_as_described(description.data_ptr<std::int64_t>());
  for (std::size_t i = 0; i < shared.size(); ++i) {
    Tensor& tensor = shared[i].second;
    if (ranks.first()) tensor.copy_(tensors[i].second.detach());
    ranks.broadcast(tensor);
  }
  return shared;
}

RowShare own_rows(const Ranks& ranks, std::int64_t rows, const std::string& where) {
  if (rows % ranks.size() != 0)
    throw RequestError(where, fmt::format("is {}, which {} ranks cannot share equally", rows, ranks.size()));
  const std::int64_t count = rows / ranks.size();
  return {ranks.rank() * count, count};
}

}  // namespace gibbsite
