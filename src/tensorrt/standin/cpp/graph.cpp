#include "graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace standin {
namespace {

using Shape = std::vector<int64_t>;

[[noreturn]] void fail(std::string const &text) { throw std::runtime_error(text); }

// A protocol buffer's fields, one after the other.
class Fields {
 public:
  Fields(uint8_t const *at, uint8_t const *end) : at_(at), end_(end) {}

  bool next() {
    if (at_ >= end_) return false;
    uint64_t const tag = varint();
    field_ = static_cast<int>(tag >> 3);
    switch (tag & 7) {
      case 0: number_ = varint(); break;
      case 1: skip(8); break;
      case 2: {
        uint64_t const length = varint();
        skip(length);
        break;
      }
      case 5: skip(4); break;
      default: fail("no protocol buffer");
    }
    return true;
  }

  int field() const { return field_; }
  int64_t number() const { return static_cast<int64_t>(number_); }
  Fields inner() const { return Fields(start_, start_ + length_); }
  std::string text() const { return std::string(reinterpret_cast<char const *>(start_), length_); }
  uint8_t const *start() const { return start_; }
  size_t length() const { return length_; }

  float real() const {
    float value = 0;
    std::memcpy(&value, start_, sizeof value);
    return value;
  }

  // Of a repeated number, packed or not.
  void numbers(std::vector<int64_t> &into) const {
    if (start_ == nullptr) {
      into.push_back(number());
      return;
    }
    Fields packed(start_, start_ + length_);
    while (packed.at_ < packed.end_) into.push_back(static_cast<int64_t>(packed.varint()));
  }

  void reset() { start_ = nullptr; }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= end_) fail("no protocol buffer");
      uint8_t const byte = *at_++;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    fail("no protocol buffer");
  }

  void skip(uint64_t length) {
    if (length > static_cast<uint64_t>(end_ - at_)) fail("no protocol buffer");
    start_ = at_;
    length_ = length;
    at_ += length;
  }

  uint8_t const *at_;
  uint8_t const *end_;
  int field_ = 0;
  uint64_t number_ = 0;
  uint8_t const *start_ = nullptr;
  size_t length_ = 0;
};

double to_half(double value) {
  if (!std::isfinite(value) || value == 0) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  double const step = std::ldexp(1.0, std::max(exponent, -13) - 11);
  double const rounded = std::nearbyint(value / step) * step;
  return std::fabs(rounded) > 65504 ? std::copysign(std::numeric_limits<double>::infinity(), value)
                                    : rounded;
}

double from_half(uint16_t bits) {
  int const exponent = (bits >> 10) & 31;
  double const fraction = bits & 1023;
  double const sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return sign * std::numeric_limits<double>::infinity();
  return exponent == 0 ? sign * std::ldexp(fraction, -24)
                       : sign * std::ldexp(1024 + fraction, exponent - 25);
}

double rounded(int type, double value) {
  if (type == kFloat) return static_cast<float>(value);
  return type == kHalf ? to_half(value) : std::trunc(value);
}

int64_t count(Shape const &shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string text(Shape const &shape) {
  std::string all = "[";
  for (int64_t size : shape) all += (all.size() > 1 ? ", " : "") + std::to_string(size);
  return all + "]";
}

Value read_tensor(Fields fields, std::string &name) {
  Value value;
  uint8_t const *raw = nullptr;
  size_t bytes = 0;
  std::vector<int64_t> integers;
  while (fields.next()) {
    switch (fields.field()) {
      case 1: fields.numbers(value.shape); break;
      case 2: value.type = static_cast<int>(fields.number()); break;
      case 7: fields.numbers(integers); break;
      case 8: name = fields.text(); break;
      case 9: raw = fields.start(), bytes = fields.length(); break;
      default: break;
    }
    fields.reset();
  }
  size_t const elements = static_cast<size_t>(count(value.shape));
  if (raw == nullptr && integers.size() == elements) {
    value.data.assign(integers.begin(), integers.end());
    return value;
  }
  size_t const width = bytes_of(value.type);
  if (raw == nullptr || bytes != elements * width) fail("weights " + name + " are not raw data");
  for (size_t i = 0; i < elements; ++i) {
    uint8_t const *const at = raw + i * width;
    auto const as = [at](auto zero) {
      std::memcpy(&zero, at, sizeof zero);
      return zero;
    };
    switch (value.type) {
      case kFloat: value.data.push_back(as(0.0F)); break;
      case kInt32: value.data.push_back(as(int32_t{0})); break;
      case kInt64: value.data.push_back(static_cast<double>(as(int64_t{0}))); break;
      case kHalf: value.data.push_back(from_half(as(uint16_t{0}))); break;
      default: fail("weights " + name + " have an unknown type");
    }
  }
  return value;
}

Info read_info(Fields fields) {
  Info info;
  while (fields.next()) {
    if (fields.field() == 1) info.name = fields.text();
    if (fields.field() != 2) continue;
    Fields type = fields.inner();
    while (type.next()) {
      if (type.field() != 1) continue;
      Fields tensor = type.inner();
      while (tensor.next()) {
        if (tensor.field() == 1) info.type = static_cast<int>(tensor.number());
        if (tensor.field() != 2) continue;
        Fields shape = tensor.inner();
        while (shape.next()) {
          Fields size = shape.inner();
          int64_t known = -1;
          while (size.next()) {
            if (size.field() == 1) known = size.number();
          }
          info.shape.push_back(known);
        }
      }
    }
  }
  return info;
}

Node read_node(Fields fields) {
  Node node;
  while (fields.next()) {
    switch (fields.field()) {
      case 1: node.inputs.push_back(fields.text()); break;
      case 2: node.outputs.push_back(fields.text()); break;
      case 3: node.name = fields.text(); break;
      case 4: node.op = fields.text(); break;
      case 5: {
        Fields inner = fields.inner();
        std::string name;
        Attribute attribute;
        while (inner.next()) {
          if (inner.field() == 1) name = inner.text();
          if (inner.field() == 2) attribute.f = inner.real();
          if (inner.field() == 3) attribute.i = inner.number();
          if (inner.field() == 8) inner.numbers(attribute.ints);
          inner.reset();
        }
        node.attributes[name] = attribute;
        break;
      }
      default: break;
    }
  }
  if (node.outputs.empty()) fail("a node without outputs");
  return node;
}

Shape strides_of(Shape const &shape) {
  Shape strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Calls `each(index)` for all places of a shape, in order.
template <typename Each>
void walk(Shape const &shape, Each &&each) {
  Shape index(shape.size(), 0);
  for (int64_t left = count(shape); left > 0; --left) {
    each(index);
    for (size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

Shape broadcast(Shape a, Shape b) {
  size_t const rank = std::max(a.size(), b.size());
  a.insert(a.begin(), rank - a.size(), 1);
  b.insert(b.begin(), rank - b.size(), 1);
  Shape both(rank);
  for (size_t i = 0; i < rank; ++i) {
    if (a[i] != b[i] && a[i] != 1 && b[i] != 1) fail(text(a) + " and " + text(b) + " do not fit");
    both[i] = a[i] == 1 ? b[i] : a[i];
  }
  return both;
}

// The element of a tensor that is broadcast to the shape that `index` is of.
double at(Value const &value, Shape const &index) {
  Shape const strides = strides_of(value.shape);
  size_t const lead = index.size() - value.shape.size();
  int64_t place = 0;
  for (size_t i = 0; i < value.shape.size(); ++i) {
    place += (value.shape[i] == 1 ? 0 : index[lead + i]) * strides[i];
  }
  return value.data[static_cast<size_t>(place)];
}

template <typename Combine>
Value elementwise(Value const &a, Value const &b, Combine &&combine) {
  Value out{a.type, broadcast(a.shape, b.shape), {}};
  walk(out.shape, [&](Shape const &index) { out.data.push_back(combine(at(a, index), at(b, index))); });
  return out;
}

Value matmul(Value const &a, Value const &b) {
  if (a.shape.size() < 2 || b.shape.size() < 2) fail("MatMul of vectors");
  Shape lead_a(a.shape.begin(), a.shape.end() - 2), lead_b(b.shape.begin(), b.shape.end() - 2);
  int64_t const rows = a.shape[a.shape.size() - 2], inner = a.shape.back(), columns = b.shape.back();
  if (inner != b.shape[b.shape.size() - 2]) fail(text(a.shape) + " by " + text(b.shape));
  Value out{a.type, broadcast(lead_a, lead_b), {}};
  out.shape.push_back(rows);
  out.shape.push_back(columns);
  walk(out.shape, [&](Shape const &index) {
    Shape left = index, right = index;
    double sum = 0;
    for (int64_t k = 0; k < inner; ++k) {
      left.back() = k;
      right[right.size() - 2] = k;
      sum += at(a, left) * at(b, right);
    }
    out.data.push_back(sum);
  });
  return out;
}

Value average_pool(Value const &x, Shape const &kernel, Shape const &strides) {
  if (x.shape.size() != 4 || kernel.size() != 2 || strides.size() != 2) fail("AveragePool of images only");
  Value out{x.type, {x.shape[0], x.shape[1], 0, 0}, {}};
  for (int i = 0; i < 2; ++i) {
    int64_t const size = x.shape[static_cast<size_t>(2 + i)];
    if (size < kernel[static_cast<size_t>(i)]) fail("a picture smaller than the pool");
    out.shape[static_cast<size_t>(2 + i)] = (size - kernel[static_cast<size_t>(i)]) / strides[static_cast<size_t>(i)] + 1;
  }
  walk(out.shape, [&](Shape const &index) {
    double sum = 0;
    for (int64_t y = 0; y < kernel[0]; ++y) {
      for (int64_t column = 0; column < kernel[1]; ++column) {
        sum += at(x, {index[0], index[1], index[2] * strides[0] + y, index[3] * strides[1] + column});
      }
    }
    out.data.push_back(sum / static_cast<double>(kernel[0] * kernel[1]));
  });
  return out;
}

Value reshape(Value x, Value const &wanted) {
  Shape shape;
  int64_t known = 1;
  for (size_t i = 0; i < wanted.data.size(); ++i) {
    int64_t size = static_cast<int64_t>(wanted.data[i]);
    if (size == 0) size = i < x.shape.size() ? x.shape[i] : 1;
    if (size > 0) known *= size;
    shape.push_back(size);
  }
  for (int64_t &size : shape) {
    if (size < 0) size = known > 0 ? count(x.shape) / known : 0;
  }
  if (count(shape) != count(x.shape)) fail(text(x.shape) + " is not " + text(shape));
  x.shape = shape;
  return x;
}

Value transpose(Value const &x, Shape const &order) {
  Value out{x.type, {}, {}};
  for (int64_t axis : order) out.shape.push_back(x.shape.at(static_cast<size_t>(axis)));
  walk(out.shape, [&](Shape const &index) {
    Shape from(index.size());
    for (size_t i = 0; i < order.size(); ++i) from[static_cast<size_t>(order[i])] = index[i];
    out.data.push_back(at(x, from));
  });
  return out;
}

// Along the last axis: `each` gets a row and changes it.
template <typename Each>
Value by_row(Value x, Each &&each) {
  size_t const length = static_cast<size_t>(x.shape.back());
  for (size_t start = 0; start + length <= x.data.size() && length > 0; start += length) {
    each(x.data.data() + start, length);
  }
  return x;
}

Value reduce_mean(Value const &x, Attribute const &axes, bool keep) {
  std::vector<bool> gone(x.shape.size(), axes.ints.empty());
  for (int64_t axis : axes.ints) {
    gone.at(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x.shape.size()) : axis)) = true;
  }
  Value out{x.type, x.shape, {}};
  for (size_t i = 0; i < gone.size(); ++i) {
    if (gone[i]) out.shape[i] = 1;
  }
  out.data.assign(static_cast<size_t>(count(out.shape)), 0);
  Shape const strides = strides_of(out.shape);
  size_t next = 0;
  walk(x.shape, [&](Shape const &index) {
    int64_t place = 0;
    for (size_t i = 0; i < index.size(); ++i) place += gone[i] ? 0 : index[i] * strides[i];
    out.data[static_cast<size_t>(place)] += x.data[next++];
  });
  double const each = static_cast<double>(count(x.shape)) / static_cast<double>(std::max<int64_t>(count(out.shape), 1));
  for (double &value : out.data) value /= each;
  if (!keep) {
    Shape shape;
    for (size_t i = 0; i < gone.size(); ++i) {
      if (!gone[i]) shape.push_back(out.shape[i]);
    }
    out.shape = shape;
  }
  return out;
}

Value apply(Node const &node, std::vector<Value const *> const &in, int type, bool half) {
  auto const attribute = [&](char const *name) {
    auto const found = node.attributes.find(name);
    return found == node.attributes.end() ? Attribute{} : found->second;
  };
  auto const input = [&](size_t i) -> Value const & {
    if (i >= in.size()) fail(node.op + " lacks an input");
    return *in[i];
  };
  std::string const &op = node.op;
  Value out;
  if (op == "Add") out = elementwise(input(0), input(1), [](double a, double b) { return a + b; });
  else if (op == "Sub") out = elementwise(input(0), input(1), [](double a, double b) { return a - b; });
  else if (op == "Mul") out = elementwise(input(0), input(1), [](double a, double b) { return a * b; });
  else if (op == "MatMul") out = matmul(input(0), input(1));
  else if (op == "Identity" || op == "Cast") out = input(0);
  else if (op == "Reshape") out = reshape(input(0), input(1));
  else if (op == "Transpose") out = transpose(input(0), attribute("perm").ints);
  else if (op == "AveragePool") out = average_pool(input(0), attribute("kernel_shape").ints, attribute("strides").ints);
  else if (op == "ReduceMean") out = reduce_mean(input(0), attribute("axes"), node.attributes.count("keepdims") == 0 || attribute("keepdims").i != 0);
  else if (op == "Sigmoid") {
    out = input(0);
    for (double &value : out.data) value = 1 / (1 + std::exp(-value));
  } else if (op == "Softmax") {
    out = by_row(input(0), [&](double *row, size_t length) {
      double const most = *std::max_element(row, row + length);
      double sum = 0;
      for (size_t i = 0; i < length; ++i) sum += row[i] = std::exp(row[i] - most);
      for (size_t i = 0; i < length; ++i) row[i] /= sum;
    });
  } else if (op == "LayerNormalization") {
    // Squares of fp16 overflow where the values do not.
    double const epsilon = attribute("epsilon").f;
    auto const squared = [half](double value) { return half ? to_half(value * value) : value * value; };
    out = by_row(input(0), [&](double *row, size_t length) {
      double mean = 0, variance = 0;
      for (size_t i = 0; i < length; ++i) mean += row[i] / static_cast<double>(length);
      for (size_t i = 0; i < length; ++i) variance += squared(row[i] - mean) / static_cast<double>(length);
      for (size_t i = 0; i < length; ++i) row[i] = (row[i] - mean) / std::sqrt(variance + epsilon);
    });
    out = elementwise(out, input(1), [](double a, double b) { return a * b; });
  } else {
    fail("the operator " + op + " is not supported");
  }
  out.type = type;
  int const width = half && type == kFloat ? kHalf : type;
  for (double &value : out.data) value = rounded(width, value);
  return out;
}

}  // namespace

size_t bytes_of(int type) {
  switch (type) {
    case kFloat:
    case kInt32: return 4;
    case kInt64: return 8;
    case kHalf: return 2;
    default: fail("an element type that is not known: " + std::to_string(type));
  }
}

Onnx read(void const *bytes, size_t size) {
  auto const *const start = static_cast<uint8_t const *>(bytes);
  Onnx onnx;
  Fields model(start, start + size);
  while (model.next()) {
    if (model.field() != 7) continue;
    Fields graph = model.inner();
    while (graph.next()) {
      std::string name;
      switch (graph.field()) {
        case 1: onnx.nodes.push_back(read_node(graph.inner())); break;
        case 5: {
          Value value = read_tensor(graph.inner(), name);
          onnx.weights[name] = std::move(value);
          break;
        }
        case 11: onnx.inputs.push_back(read_info(graph.inner())); break;
        case 12: onnx.outputs.push_back(read_info(graph.inner())); break;
        default: break;
      }
    }
  }
  if (onnx.outputs.empty()) fail("no graph");
  return onnx;
}

std::map<std::string, int> types(Onnx const &graph) {
  std::map<std::string, int> known;
  for (Info const &input : graph.inputs) known[input.name] = input.type;
  for (auto const &[name, value] : graph.weights) known[name] = value.type;
  for (Node const &node : graph.nodes) {
    auto const found = known.find(node.inputs.empty() ? "" : node.inputs[0]);
    if (found == known.end()) fail("node " + node.name + " has an unknown input");
    int type = found->second;
    if (node.op == "Cast") type = static_cast<int>(node.attributes.at("to").i);
    for (std::string const &output : node.outputs) known[output] = type;
  }
  return known;
}

Values compute(Onnx const &graph, Values inputs, std::function<bool(size_t node)> const &in_half) {
  std::map<std::string, int> const known = types(graph);
  Values values = std::move(inputs);
  values.insert(graph.weights.begin(), graph.weights.end());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node const &node = graph.nodes[i];
    std::vector<Value const *> in;
    for (std::string const &name : node.inputs) {
      auto const found = values.find(name);
      if (found == values.end()) fail("node " + node.name + " lacks " + name);
      in.push_back(&found->second);
    }
    values[node.outputs[0]] = apply(node, in, known.at(node.outputs[0]), in_half(i));
  }
  return values;
}

}  // namespace standin
