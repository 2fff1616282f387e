// A TensorRT that builds and runs small graphs, and refuses what NVIDIA's documentation forbids. It is
// compiled against NVIDIA's headers; STANDIN_API chooses whose rules hold, as 806 for TensorRT 8.6.
#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "control.h"
#include "defaults.h"
#include "device.h"
#include "graph.h"

#ifdef TRT_MAJOR_RTX
#define STANDIN_RTX 1
#ifndef STANDIN_API
#define STANDIN_API 1100
#endif
#else
#define STANDIN_RTX 0
#ifndef STANDIN_API
#define STANDIN_API (NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR)
#endif
#endif
// Whether the headers, not the rules, have what came with TensorRT 10.
#define NEW_HEADERS (STANDIN_RTX || NV_TENSORRT_MAJOR >= 10)

using namespace nvinfer1;

namespace standin {
namespace {

using Severity = ILogger::Severity;
using Sizes = std::vector<int64_t>;

void say(ILogger *logger, Severity severity, std::string const &text) {
  if (logger != nullptr) logger->log(severity, ("stand-in: " + text).c_str());
}

// The words that TensorRT has for a CUDA failure.
void say_failure(ILogger *logger, int code) {
  say(logger, Severity::kERROR, code == kOutOfMemory ? "Error Code 2: OutOfMemory (out of memory)"
                                                     : "Error Code 1: Cuda Runtime (unspecified launch failure)");
}

Sizes sizes(Dims const &dims) { return Sizes(dims.d, dims.d + std::max(dims.nbDims, 0)); }

Dims dims(Sizes const &sizes) {
  Dims dims{};
  dims.nbDims = static_cast<int32_t>(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) dims.d[i] = static_cast<std::decay_t<decltype(dims.d[0])>>(sizes[i]);
  return dims;
}

std::string text(Sizes const &sizes) {
  std::string all = "[";
  for (int64_t size : sizes) all += (all.size() > 1 ? "," : "") + std::to_string(size);
  return all + "]";
}

int64_t elements(Sizes const &sizes) {
  int64_t all = 1;
  for (int64_t size : sizes) all *= size;
  return all;
}

DataType data_type(int type) {
  switch (type) {
    case kFloat: return DataType::kFLOAT;
    case kHalf: return DataType::kHALF;
#if NEW_HEADERS && STANDIN_API >= 1000
    case kInt64: return DataType::kINT64;
#endif
    // Before version 10 there are no integers of 64 bits.
    default: return DataType::kINT32;
  }
}

// Type of an input or output in device memory.
int stored(int type) { return type == kInt64 && STANDIN_API < 1000 ? kInt32 : type; }

// Bytes of a plan and of timings.
class Writer {
 public:
  void put(void const *data, size_t size) {
    auto const *const at = static_cast<char const *>(data);
    bytes.insert(bytes.end(), at, at + size);
  }
  void number(int64_t value) { put(&value, sizeof value); }
  void string(std::string const &value) {
    number(static_cast<int64_t>(value.size()));
    put(value.data(), value.size());
  }
  std::vector<char> bytes;
};

class Reader {
 public:
  Reader(void const *data, size_t size) : at_(static_cast<char const *>(data)), left_(size) {}
  std::string take(size_t size) {
    if (size > left_) throw std::runtime_error("it is cut");
    std::string const taken(at_, size);
    at_ += size;
    left_ -= size;
    return taken;
  }
  int64_t number() {
    int64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string string() { return take(static_cast<size_t>(number())); }

 private:
  char const *at_;
  size_t left_;
};

constexpr char kPlan[] = "stand-in plan";
constexpr char kTimings[] = "stand-in timings";

struct Profile {
  // By input: least, best and greatest.
  std::map<std::string, std::array<Sizes, 3>> ranges;
};

// A built graph.
struct Plan {
  std::string onnx;
  Onnx graph;
  Profile profile;
  bool shared_profile = false;
  bool user_memory = false;
  // Of each node whether its floats are of fp16.
  std::vector<bool> halved;

  Values compute_at(std::map<std::string, Sizes> const &shapes) const {
    Values inputs;
    for (Info const &input : graph.inputs) {
      Value zero{input.type, shapes.at(input.name), {}};
      zero.data.assign(static_cast<size_t>(elements(zero.shape)), 0);
      inputs[input.name] = std::move(zero);
    }
    return compute(graph, std::move(inputs), [](size_t) { return false; });
  }

  // Bytes for the results between inputs and outputs.
  size_t memory(Values const &values) const {
    size_t bytes = 256;
    for (Node const &node : graph.nodes) bytes += values.at(node.outputs[0]).data.size() * 4;
    return (bytes + 255) / 256 * 256;
  }

  std::map<std::string, Sizes> shapes(size_t which) const {
    std::map<std::string, Sizes> all;
    for (auto const &[name, range] : profile.ranges) all[name] = range[which];
    return all;
  }

  std::vector<char> write() const {
    Writer out;
    out.string(kPlan);
    out.number(STANDIN_API);
    out.number(gpu());
    out.number(shared_profile);
    out.number(user_memory);
    out.string(onnx);
    out.number(static_cast<int64_t>(profile.ranges.size()));
    for (auto const &[name, range] : profile.ranges) {
      out.string(name);
      for (Sizes const &one : range) {
        out.number(static_cast<int64_t>(one.size()));
        for (int64_t size : one) out.number(size);
      }
    }
    for (bool half : halved) out.number(half);
    return out.bytes;
  }

  static Plan read(void const *data, size_t size) {
    Reader in(data, size);
    if (in.string() != kPlan) throw std::runtime_error("no plan");
    if (in.number() != STANDIN_API) throw std::runtime_error("of another version of TensorRT");
    if (in.number() != gpu()) throw std::runtime_error("of another GPU");
    Plan plan;
    plan.shared_profile = in.number() != 0;
    plan.user_memory = in.number() != 0;
    plan.onnx = in.string();
    plan.graph = standin::read(plan.onnx.data(), plan.onnx.size());
    for (int64_t left = in.number(); left > 0; --left) {
      std::string const name = in.string();
      for (Sizes &one : plan.profile.ranges[name]) {
        for (int64_t rank = in.number(); rank > 0; --rank) one.push_back(in.number());
      }
    }
    for (size_t i = 0; i < plan.graph.nodes.size(); ++i) plan.halved.push_back(in.number() != 0);
    return plan;
  }
};

// Counts living objects of a kind.
class Alive {
 public:
  explicit Alive(char const *name) : name_(name) { count(name_); }
  ~Alive() { count(name_, -1); }
  Alive(Alive const &) = delete;
  Alive &operator=(Alive const &) = delete;

 private:
  char const *name_;
};

struct Memory : IHostMemory {
  struct Impl : apiv::DefaultVHostMemory {
    std::vector<char> bytes;
    void *data() const noexcept { return const_cast<char *>(bytes.data()); }
    std::size_t size() const noexcept { return bytes.size(); }
    DataType type() const noexcept { return DataType::kINT8; }
  } impl;
  Alive alive{"alive host memory"};
  explicit Memory(std::vector<char> bytes) {
    impl.bytes = std::move(bytes);
    mImpl = &impl;
  }
};

// ---- Networks.

struct Tensor : ITensor {
  struct Impl : apiv::DefaultVTensor {
    std::string name;
    Sizes shape;
    int type = kFloat;
    char const *getName() const noexcept { return name.c_str(); }
    Dims getDimensions() const noexcept { return dims(shape); }
    DataType getType() const noexcept { return data_type(type); }
    bool isShapeTensor() const noexcept { return false; }
    bool isExecutionTensor() const noexcept { return true; }
  } impl;
  Tensor() { mImpl = &impl; }
};

struct Layer : ILayer {
  struct Impl : apiv::DefaultVLayer {
    LayerType type = LayerType::kIDENTITY;
    std::string name;
    std::vector<Tensor *> inputs;
    std::vector<Tensor *> outputs;
    bool fixed = false;
    DataType precision = DataType::kFLOAT;
    LayerType getType() const noexcept { return type; }
    char const *getName() const noexcept { return name.c_str(); }
    int32_t getNbInputs() const noexcept { return static_cast<int32_t>(inputs.size()); }
    ITensor *getInput(int32_t index) const noexcept { return inputs[static_cast<size_t>(index)]; }
    int32_t getNbOutputs() const noexcept { return static_cast<int32_t>(outputs.size()); }
    ITensor *getOutput(int32_t index) const noexcept { return outputs[static_cast<size_t>(index)]; }
    void setPrecision(DataType type) noexcept {
      fixed = true;
      precision = type;
    }
    DataType getPrecision() const noexcept { return precision; }
    bool precisionIsSet() const noexcept { return fixed; }
    void setOutputType(int32_t, DataType) noexcept {}
    bool outputTypeIsSet(int32_t) const noexcept { return false; }
  } impl;
  Layer() { mLayer = &impl; }
};

LayerType layer_type(std::string const &op) {
  if (op == "Softmax") return LayerType::kSOFTMAX;
  if (op == "LayerNormalization") return LayerType::kNORMALIZATION;
  if (op == "MatMul") return LayerType::kMATRIX_MULTIPLY;
  if (op == "Cast") return LayerType::kCAST;
  if (op == "Identity") return LayerType::kIDENTITY;
  if (op == "ReduceMean") return LayerType::kREDUCE;
  if (op == "Sigmoid") return LayerType::kACTIVATION;
  if (op == "AveragePool") return LayerType::kPOOLING;
  if (op == "Reshape" || op == "Transpose") return LayerType::kSHUFFLE;
  return LayerType::kELEMENTWISE;
}

struct Network : INetworkDefinition {
  struct Impl : apiv::DefaultVNetworkDefinition {
    std::string onnx;
    Onnx graph;
    bool strong = false;
    std::map<std::string, std::unique_ptr<Tensor>> tensors;
    std::vector<std::unique_ptr<Layer>> layers;
    int32_t getNbInputs() const noexcept { return static_cast<int32_t>(graph.inputs.size()); }
    ITensor *getInput(int32_t index) const noexcept {
      return tensors.at(graph.inputs[static_cast<size_t>(index)].name).get();
    }
    int32_t getNbOutputs() const noexcept { return static_cast<int32_t>(graph.outputs.size()); }
    ITensor *getOutput(int32_t index) const noexcept {
      return tensors.at(graph.outputs[static_cast<size_t>(index)].name).get();
    }
    int32_t getNbLayers() const noexcept { return static_cast<int32_t>(layers.size()); }
    ILayer *getLayer(int32_t index) const noexcept { return layers[static_cast<size_t>(index)].get(); }
  } impl;
  Alive alive{"alive networks"};
  Network() { mImpl = &impl; }

  void read(void const *bytes, size_t size) {
    impl.onnx.assign(static_cast<char const *>(bytes), size);
    impl.graph = standin::read(bytes, size);
    auto const known = types(impl.graph);
    for (auto const &[name, type] : known) {
      auto tensor = std::make_unique<Tensor>();
      tensor->impl.name = name;
      tensor->impl.type = type;
      impl.tensors[name] = std::move(tensor);
    }
    for (auto const *infos : {&impl.graph.inputs, &impl.graph.outputs}) {
      for (Info const &info : *infos) {
        if (impl.tensors.count(info.name) == 0) throw std::runtime_error("unknown output " + info.name);
        impl.tensors[info.name]->impl.shape = info.shape;
      }
    }
    for (Node const &node : impl.graph.nodes) {
      auto layer = std::make_unique<Layer>();
      layer->impl.type = layer_type(node.op);
      layer->impl.name = node.name;
      for (auto const &name : node.inputs) layer->impl.inputs.push_back(impl.tensors.at(name).get());
      for (auto const &name : node.outputs) layer->impl.outputs.push_back(impl.tensors.at(name).get());
      impl.layers.push_back(std::move(layer));
    }
  }
};

struct ParserError : nvonnxparser::DefaultIParserError {
  std::string words;
  char const *desc() const { return words.c_str(); }
  int node() const { return 0; }
};

struct Parser : nvonnxparser::DefaultIParser {
  Network *network;
  ILogger *logger;
  std::vector<ParserError> errors;
  Alive alive{"alive parsers"};

  bool parse(void const *bytes, size_t size, char const *) noexcept {
    if (int const code = called("parse"); code != kOk) {
      say_failure(logger, code);
      return false;
    }
    try {
      network->read(bytes, size);
      return true;
    } catch (std::exception const &error) {
      errors.emplace_back();
      errors.back().words = error.what();
      return false;
    }
  }
  int getNbErrors() const noexcept { return static_cast<int>(errors.size()); }
  nvonnxparser::IParserError const *getError(int index) const noexcept {
    return &errors[static_cast<size_t>(index)];
  }
#if !NEW_HEADERS
  void destroy() { delete this; }
#endif
};

// ---- Building.

struct OptimizationProfile : IOptimizationProfile {
  struct Impl : apiv::DefaultVOptimizationProfile {
    Profile profile;
    std::map<std::string, std::array<bool, 3>> given;

    bool set(char const *name, OptProfileSelector select, Dims const &wanted) {
      auto const which = static_cast<size_t>(select);
      auto &range = profile.ranges[name];
      auto &known = given[name];
      range[which] = sizes(wanted);
      known[which] = true;
      for (int64_t size : range[which]) {
        if (size < 0) return false;
      }
      for (size_t a = 0; a < 3; ++a) {
        for (size_t b = a + 1; b < 3; ++b) {
          if (!known[a] || !known[b]) continue;
          // kMIN, kOPT, kMAX, in this order.
          if (range[a].size() != range[b].size()) return false;
          for (size_t i = 0; i < range[a].size(); ++i) {
            if (range[a][i] > range[b][i]) return false;
          }
        }
      }
      return true;
    }
#if NEW_HEADERS
    bool setDimensions(char const *name, OptProfileSelector select, Dims const &wanted) noexcept {
      return set(name, select, wanted);
    }
#else
    bool setDimensions(char const *name, OptProfileSelector select, Dims wanted) noexcept {
      return set(name, select, wanted);
    }
#endif
    Dims getDimensions(char const *name, OptProfileSelector select) const noexcept {
      auto const found = profile.ranges.find(name);
      return found == profile.ranges.end() ? Dims{-1, {}} : dims(found->second[static_cast<size_t>(select)]);
    }
    bool isValid() const noexcept { return true; }
  } impl;
  OptimizationProfile() { mImpl = &impl; }
};

struct TimingCache : ITimingCache {
  struct Impl : apiv::DefaultVTimingCache {
    int64_t gpu = 0;
    int64_t builds = 0;
    IHostMemory *serialize() const noexcept {
      Writer out;
      out.string(kTimings);
      out.number(gpu);
      out.number(builds);
      return new Memory(std::move(out.bytes));
    }
  } impl;
  Alive alive{"alive timing caches"};
  TimingCache() { mImpl = &impl; }
};

struct Config : IBuilderConfig {
  struct Impl : apiv::DefaultVBuilderConfig {
    ILogger *logger = nullptr;
    uint64_t flags = 1ULL << static_cast<uint32_t>(BuilderFlag::kTF32);
    uint64_t previews = 0;
    size_t workspace = SIZE_MAX;
    OptimizationProfile const *profile = nullptr;
    TimingCache *cache = nullptr;
#if NEW_HEADERS
    IProgressMonitor *monitor = nullptr;
    void setProgressMonitor(IProgressMonitor *given) noexcept { monitor = given; }
    IProgressMonitor *getProgressMonitor() const noexcept { return monitor; }
#endif
    bool has(BuilderFlag flag) const { return (flags >> static_cast<uint32_t>(flag) & 1) != 0; }
    void setFlag(BuilderFlag flag) noexcept { flags |= 1ULL << static_cast<uint32_t>(flag); }
    void clearFlag(BuilderFlag flag) noexcept { flags &= ~(1ULL << static_cast<uint32_t>(flag)); }
    bool getFlag(BuilderFlag flag) const noexcept { return has(flag); }
    void setPreviewFeature(PreviewFeature feature, bool enable) noexcept {
      if (enable) previews |= 1ULL << static_cast<uint32_t>(feature);
    }
    void setMemoryPoolLimit(MemoryPoolType, std::size_t bytes) noexcept { workspace = bytes; }
    std::size_t getMemoryPoolLimit(MemoryPoolType) const noexcept { return workspace; }
    int32_t addOptimizationProfile(IOptimizationProfile const *given) noexcept {
      profile = static_cast<OptimizationProfile const *>(given);
      return 0;
    }
    ITimingCache *createTimingCache(void const *bytes, std::size_t size) const noexcept {
      auto cache = std::make_unique<TimingCache>();
      cache->impl.gpu = gpu();
      if (size == 0) return cache.release();
      try {
        Reader in(bytes, size);
        if (in.string() != kTimings) throw std::runtime_error("no timings");
        cache->impl.gpu = in.number();
        cache->impl.builds = in.number();
        return cache.release();
      } catch (std::exception const &error) {
        say(logger, Severity::kERROR, std::string("the timing cache is refused: ") + error.what());
        return nullptr;
      }
    }
    bool setTimingCache(ITimingCache const &given, bool ignore) noexcept {
      auto &wanted = const_cast<TimingCache &>(static_cast<TimingCache const &>(given));
      if (wanted.impl.gpu != gpu() && !ignore) {
        say(logger, Severity::kERROR, "the timing cache is of another GPU");
        return false;
      }
      cache = &wanted;
      return true;
    }
    ITimingCache const *getTimingCache() const noexcept { return cache; }
  } impl;
  Alive alive{"alive configurations"};
  Config() { mImpl = &impl; }
};

struct Builder : IBuilder {
  struct Impl : apiv::DefaultVBuilder {
    ILogger *logger = nullptr;
    std::vector<std::unique_ptr<OptimizationProfile>> profiles;

    INetworkDefinition *createNetworkV2(NetworkDefinitionCreationFlags flags) noexcept {
      auto network = std::make_unique<Network>();
#if STANDIN_API >= 1100
      (void)flags;
      network->impl.strong = true;
#elif STANDIN_API >= 1000
      network->impl.strong = (flags >> static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED) & 1) != 0;
#else
      if ((flags >> static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH) & 1) == 0) {
        say(logger, Severity::kERROR, "a network of an implicit batch takes no ONNX graph");
        return nullptr;
      }
#endif
      return network.release();
    }

    IBuilderConfig *createBuilderConfig() noexcept {
      auto config = std::make_unique<Config>();
      config->impl.logger = logger;
      return config.release();
    }

    IOptimizationProfile *createOptimizationProfile() noexcept {
      profiles.push_back(std::make_unique<OptimizationProfile>());
      return profiles.back().get();
    }

    IHostMemory *buildSerializedNetwork(INetworkDefinition &network, IBuilderConfig &config) noexcept {
      int const code = called("buildSerializedNetwork");
      {
        std::lock_guard<std::recursive_mutex> lock(world());
        synchronising("a build");
      }
      wait_for_builds();
      if (code != kOk) {
        say_failure(logger, code);
        return nullptr;
      }
      try {
        return build(static_cast<Network &>(network).impl, static_cast<Config &>(config).impl);
      } catch (std::exception const &error) {
        say(logger, Severity::kERROR, std::string("Error Code 4: Internal Error (") + error.what() + ")");
        return nullptr;
      }
    }

    static void check_types(Network::Impl const &network, Config::Impl const &config) {
#if STANDIN_API < 1100 && !STANDIN_RTX
      bool const fp16 = config.has(BuilderFlag::kFP16);
      if (network.strong && fp16) throw std::runtime_error("kFP16 is not for strongly typed networks");
      for (auto const &[name, tensor] : network.tensors) {
        if (!network.strong && tensor->impl.type == kHalf && !fp16) {
          throw std::runtime_error("fp16 precision has been set for a layer or layer output, but fp16 is not "
                                   "configured in the builder: " + name);
        }
      }
      if (!network.strong) return;
#endif
      (void)config;
      for (auto const &layer : network.layers) {
        if (layer->impl.type != LayerType::kELEMENTWISE && layer->impl.type != LayerType::kMATRIX_MULTIPLY) continue;
        int const type = layer->impl.inputs[0]->impl.type;
        for (Tensor const *input : layer->impl.inputs) {
          if (input->impl.type != type) throw std::runtime_error("types of " + layer->impl.name + " differ");
        }
      }
    }

    static bool is_halved(Network::Impl const &network, Config::Impl const &config, size_t node) {
#if STANDIN_API < 1100 && !STANDIN_RTX
      Layer::Impl const &layer = network.layers[node]->impl;
      if (network.strong || !config.has(BuilderFlag::kFP16)) return false;
      bool const bound = config.has(BuilderFlag::kOBEY_PRECISION_CONSTRAINTS) ||
                         config.has(BuilderFlag::kPREFER_PRECISION_CONSTRAINTS);
      return !(bound && layer.fixed && layer.precision == DataType::kFLOAT);
#else
      (void)network, (void)config, (void)node;
      return false;
#endif
    }

    IHostMemory *build(Network::Impl const &network, Config::Impl const &config) {
      if (config.profile == nullptr) throw std::runtime_error("there is no optimization profile");
      check_types(network, config);
      Plan plan;
      plan.onnx = network.onnx;
      plan.graph = network.graph;
      plan.profile = config.profile->impl.profile;
      for (Info const &input : network.graph.inputs) {
        auto const &given = config.profile->impl.given;
        auto const known = given.find(input.name);
        if (known == given.end() || known->second != std::array<bool, 3>{true, true, true}) {
          throw std::runtime_error("the profile lacks " + input.name);
        }
        for (Sizes const &one : plan.profile.ranges[input.name]) {
          bool fits = one.size() == input.shape.size();
          for (size_t i = 0; fits && i < one.size(); ++i) fits = input.shape[i] < 0 || input.shape[i] == one[i];
          if (!fits) throw std::runtime_error("the profile of " + input.name + " does not fit the network");
        }
      }
#if STANDIN_API < 1000
      plan.shared_profile = (config.previews >> static_cast<uint32_t>(PreviewFeature::kPROFILE_SHARING_0806) & 1) != 0;
#else
      plan.shared_profile = true;
#endif
#if STANDIN_RTX && TRT_MINOR_RTX >= 5
      plan.user_memory = config.has(BuilderFlag::kREQUIRE_USER_ALLOCATION);
#endif
      for (size_t i = 0; i < network.layers.size(); ++i) plan.halved.push_back(is_halved(network, config, i));
      size_t const needed = plan.memory(plan.compute_at(plan.shapes(2)));
      if (needed > config.workspace) throw std::runtime_error("the workspace of " + std::to_string(config.workspace) + " bytes is too small");
      // Tactics are timed on other threads, which log too.
      std::thread([&] { say(logger, Severity::kWARNING, "timing the tactics"); }).join();
      say(logger, Severity::kWARNING, "building " + network.graph.outputs[0].name);
#if NEW_HEADERS
      if (config.monitor != nullptr) {
        constexpr int32_t kSteps = 8;
        config.monitor->phaseStart("Building", nullptr, kSteps);
        bool go = true;
        for (int32_t step = 0; go && step < kSteps; ++step) go = config.monitor->stepComplete("Building", step);
        config.monitor->phaseFinish("Building");
        if (!go) return nullptr;
      }
#endif
      if (config.cache != nullptr) ++config.cache->impl.builds;
      return new Memory(plan.write());
    }
  } impl;
  Alive alive{"alive builders"};
  Builder() { mImpl = &impl; }
};

}  // namespace
}  // namespace standin

#include "runtime.inc"

using namespace standin;

#define EXPORT extern "C" __attribute__((visibility("default")))

// A library refuses programs that were built for a newer one.
#ifndef STANDIN_VERSION
#define STANDIN_VERSION NV_TENSORRT_VERSION
#endif

EXPORT void *createInferBuilder_INTERNAL(void *logger, int32_t version) noexcept {
  if (version > STANDIN_VERSION || called("createInferBuilder") != kOk) return nullptr;
  auto builder = std::make_unique<Builder>();
  builder->impl.logger = static_cast<ILogger *>(logger);
  return static_cast<IBuilder *>(builder.release());
}

EXPORT void *createInferRuntime_INTERNAL(void *logger, int32_t version) noexcept {
  if (version > STANDIN_VERSION || called("createInferRuntime") != kOk) return nullptr;
  auto runtime = std::make_unique<Runtime>();
  runtime->impl.logger = static_cast<ILogger *>(logger);
  return static_cast<IRuntime *>(runtime.release());
}

EXPORT int32_t getInferLibVersion() noexcept { return STANDIN_VERSION; }

EXPORT void *createNvOnnxParser_INTERNAL(void *network, void *logger, int) noexcept {
  if (called("createNvOnnxParser") != kOk) return nullptr;
  auto *const parser = new Parser;
  parser->network = static_cast<Network *>(static_cast<INetworkDefinition *>(network));
  parser->logger = static_cast<ILogger *>(logger);
  return static_cast<nvonnxparser::IParser *>(parser);
}
