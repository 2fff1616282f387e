// Reads the few ONNX operators that test graphs consist of, and computes them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace standin {

// ONNX's numbers of element types.
enum Type : int { kFloat = 1, kInt32 = 6, kInt64 = 7, kHalf = 10 };

struct Value {
  int type = kFloat;
  std::vector<int64_t> shape;
  std::vector<double> data;
};

// An input or output; -1 where a size is open.
struct Info {
  std::string name;
  int type = kFloat;
  std::vector<int64_t> shape;
};

struct Attribute {
  int64_t i = 0;
  float f = 0;
  std::vector<int64_t> ints;
};

struct Node {
  std::string op;
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::map<std::string, Attribute> attributes;
};

struct Onnx {
  std::vector<Node> nodes;
  std::map<std::string, Value> weights;
  std::vector<Info> inputs;
  std::vector<Info> outputs;
};

using Values = std::map<std::string, Value>;

// Throws std::runtime_error for what it cannot read.
Onnx read(void const *bytes, size_t size);

// Element type of every tensor.
std::map<std::string, int> types(Onnx const &graph);

// All tensors. `in_half` says of a node that its floats are rounded to fp16. Throws
// std::runtime_error for shapes that do not fit.
Values compute(Onnx const &graph, Values inputs, std::function<bool(size_t node)> const &in_half);

size_t bytes_of(int type);

}  // namespace standin
