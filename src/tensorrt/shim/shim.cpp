#include "shim.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

// TensorRT-RTX counts its versions anew; its API is that of TensorRT 11 without weak typing.
// MDETR_API may be given, as 806: then no more is used than TensorRT 8.6 has.
#ifdef TRT_MAJOR_RTX
#define MDETR_RTX 1
#ifndef MDETR_API
#define MDETR_API 1100
#endif
#else
#define MDETR_RTX 0
#ifndef MDETR_API
#define MDETR_API (NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR)
#endif
#endif
static_assert(MDETR_API >= 806,
              "TensorRT 8.6 or later is needed: the ONNX parser of 8.5 has no LayerNormalization");

// TensorRT-RTX before version 1.5 cannot be asked for it.
#if MDETR_RTX && TRT_MINOR_RTX >= 5
#define MDETR_USER_MEMORY 1
#else
#define MDETR_USER_MEMORY 0
#endif

// Within a major version TensorRT appends to its interfaces, and takes nothing away: what these headers call by its
// place is at that place in older libraries too, back to the version that brought it.
#if MDETR_RTX
#define MDETR_OLDEST_MINOR NV_TENSORRT_MINOR
#elif MDETR_API >= 1100
#define MDETR_OLDEST_MINOR 0
#elif MDETR_API >= 1001
#define MDETR_OLDEST_MINOR 1
#elif MDETR_API >= 1000
#define MDETR_OLDEST_MINOR 0
#else
#define MDETR_OLDEST_MINOR 6
#endif

namespace {

// A call whose messages belong together: those of its own thread, and those of TensorRT's threads while
// it is the only one.
struct Scope {
  char const *graph;
  std::vector<std::string> errors;
};

// What TensorRT logs. TensorRT remembers the first logger it is given, so there is one, for as long as
// the process lives.
class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, char const *text) noexcept override {
    if (text == nullptr) return;
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      Scope *const scope = current_ != nullptr ? current_ : open_.size() == 1 ? open_.front() : nullptr;
      if (scope != nullptr && severity <= Severity::kERROR && scope->errors.size() < 32) {
        scope->errors.push_back(std::string(text).substr(0, 2000));
      }
      if (MdetrTrtLog const hook = hook_) {
        hook(static_cast<int32_t>(severity), scope == nullptr ? nullptr : scope->graph, text);
      }
    } catch (...) {
    }
  }

  void open(Scope &scope) {
    std::lock_guard<std::mutex> lock(mutex_);
    open_.push_back(&scope);
    current_ = &scope;
  }

  void close(Scope &scope) {
    std::lock_guard<std::mutex> lock(mutex_);
    open_.erase(std::remove(open_.begin(), open_.end(), &scope), open_.end());
    current_ = nullptr;
  }

  void set_hook(MdetrTrtLog hook) { hook_ = hook; }

 private:
  std::mutex mutex_;
  std::vector<Scope *> open_;
  static thread_local Scope *current_;
  std::atomic<MdetrTrtLog> hook_{nullptr};
};

thread_local Scope *Logger::current_ = nullptr;

Logger &logger() {
  static Logger *const instance = new Logger;
  return *instance;
}

// Collects what TensorRT says while it lives.
class Listening {
 public:
  explicit Listening(char const *graph = nullptr) : scope_{graph, {}} { logger().open(scope_); }
  ~Listening() { logger().close(scope_); }
  Listening(Listening const &) = delete;
  Listening &operator=(Listening const &) = delete;

  // The errors, or `otherwise`.
  std::string errors(char const *otherwise) const {
    std::string all;
    for (std::string const &line : scope_.errors) {
      if (!all.empty()) all += "; ";
      all += line;
    }
    return all.empty() ? otherwise : all;
  }

 private:
  Scope scope_;
};

int32_t say(MdetrTrtMessage message, int32_t status, std::string const &text) noexcept {
  if (message.data != nullptr && message.capacity > 0) {
    size_t const length = std::min(text.size(), message.capacity - 1);
    std::memcpy(message.data, text.data(), length);
    message.data[length] = 0;
  }
  return status;
}

// Runs `work`, which returns a status; an exception becomes a message.
template <typename Work>
int32_t guarded(MdetrTrtMessage message, Work &&work) noexcept {
  try {
    return work();
  } catch (std::bad_alloc const &) {
    return say(message, MDETR_TRT_MEMORY, "out of memory");
  } catch (std::exception const &error) {
    return say(message, MDETR_TRT_FAILED, error.what());
  } catch (...) {
    return say(message, MDETR_TRT_FAILED, "an exception of an unknown type");
  }
}

// A failure whose words are TensorRT's.
int32_t failed(MdetrTrtMessage message, Listening const &heard, char const *otherwise) {
  std::string const words = heard.errors(otherwise);
  bool const memory = words.find("out of memory") != std::string::npos ||
                      words.find("OutOfMemory") != std::string::npos ||
                      words.find("OUT_OF_MEMORY") != std::string::npos;
  return say(message, memory ? MDETR_TRT_MEMORY : MDETR_TRT_FAILED, words);
}

#if MDETR_API >= 1000
class Monitor : public nvinfer1::IProgressMonitor {
 public:
  Monitor(MdetrTrtProgress progress, void *user) : progress_(progress), user_(user) {}

  void phaseStart(char const *phase, char const *, int32_t steps) noexcept override {
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      phases_.emplace_back(phase, steps);
    } catch (...) {
    }
    report(phase, 0);
  }

  bool stepComplete(char const *phase, int32_t step) noexcept override {
    return report(phase, step + 1);
  }

  void phaseFinish(char const *phase) noexcept override {
    std::lock_guard<std::mutex> lock(mutex_);
    auto const found = find(phase);
    if (found != phases_.end()) phases_.erase(found);
  }

  bool stopped() const { return stopped_; }

 private:
  std::deque<std::pair<std::string, int32_t>>::iterator find(char const *phase) {
    return std::find_if(phases_.begin(), phases_.end(),
                        [&](auto const &known) { return known.first == phase; });
  }

  bool report(char const *phase, int32_t step) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || progress_ == nullptr) return !stopped_;
    auto const found = find(phase);
    int32_t const steps = found == phases_.end() ? 0 : found->second;
    if (progress_(user_, phase, std::min(step, steps), steps) == 0) stopped_ = true;
    return !stopped_;
  }

  MdetrTrtProgress progress_;
  void *user_;
  std::mutex mutex_;
  std::deque<std::pair<std::string, int32_t>> phases_;
  bool stopped_ = false;
};
#endif

// The version to ask a library for: one that is older than the headers refuses theirs.
int32_t asked(MdetrTrtEntry const &entry) {
  int32_t const headers = NV_TENSORRT_VERSION;
  return std::min(entry.version, headers);
}

template <typename T>
std::unique_ptr<T> owned(void *made) {
  return std::unique_ptr<T>(static_cast<T *>(made));
}

int32_t copied(nvinfer1::IHostMemory const &from, MdetrTrtBytes &to) {
  to.data = static_cast<uint8_t *>(std::malloc(std::max<size_t>(from.size(), 1)));
  if (to.data == nullptr) throw std::bad_alloc();
  std::memcpy(to.data, from.data(), from.size());
  to.size = from.size();
  return MDETR_TRT_OK;
}

bool to_dims(int32_t rank, int64_t const *sizes, nvinfer1::Dims &dims) {
  if (rank < 0 || rank > nvinfer1::Dims::MAX_DIMS) return false;
  dims.nbDims = rank;
  for (int32_t i = 0; i < rank; ++i) {
    auto const size = static_cast<std::decay_t<decltype(dims.d[i])>>(sizes[i]);
    if (static_cast<int64_t>(size) != sizes[i]) return false;
    dims.d[i] = size;
  }
  return true;
}

bool from_dims(nvinfer1::Dims const &dims, int32_t &rank, int64_t *sizes) {
  if (dims.nbDims < 0 || dims.nbDims > MDETR_TRT_MAX_RANK) return false;
  rank = dims.nbDims;
  for (int32_t i = 0; i < rank; ++i) sizes[i] = dims.d[i];
  return true;
}

std::string text(nvinfer1::Dims const &dims) {
  std::string shape = "[";
  for (int32_t i = 0; i < dims.nbDims; ++i) {
    shape += (i > 0 ? ", " : "") + std::to_string(static_cast<int64_t>(dims.d[i]));
  }
  return shape + "]";
}

int32_t element(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT: return MDETR_TRT_FLOAT;
    case nvinfer1::DataType::kHALF: return MDETR_TRT_HALF;
    case nvinfer1::DataType::kINT32: return MDETR_TRT_INT32;
    case nvinfer1::DataType::kBOOL: return MDETR_TRT_BOOL;
#if MDETR_API >= 1000
    case nvinfer1::DataType::kINT64: return MDETR_TRT_INT64;
#endif
    default: return MDETR_TRT_OTHER;
  }
}

void report(nvinfer1::ITensor const &tensor, nvinfer1::IOptimizationProfile const *profile,
            MdetrTrtDescribe describe, void *user) {
  using Select = nvinfer1::OptProfileSelector;
  MdetrTrtTensor told{};
  told.name = tensor.getName();
  told.is_input = profile != nullptr;
  told.type = element(tensor.getType());
  from_dims(tensor.getDimensions(), told.rank, told.shape);
  if (profile != nullptr) {
    int32_t rank = 0;
    from_dims(profile->getDimensions(told.name, Select::kMIN), rank, told.min);
    from_dims(profile->getDimensions(told.name, Select::kOPT), rank, told.opt);
    from_dims(profile->getDimensions(told.name, Select::kMAX), rank, told.max);
  }
  describe(user, &told);
}

uint32_t network_flags() {
#if MDETR_API >= 1100
  return 0;
#elif MDETR_API >= 1000
  return 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
  return 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
}

#if MDETR_API < 1000
// Lets TensorRT take fp16, but where the graph has norms and softmax in fp32: their sums and squares do not
// fit fp16.
void take_half(nvinfer1::INetworkDefinition &network, nvinfer1::IBuilderConfig &config) {
  using nvinfer1::DataType;
  using nvinfer1::LayerType;
  config.setFlag(nvinfer1::BuilderFlag::kFP16);
  config.setFlag(nvinfer1::BuilderFlag::kOBEY_PRECISION_CONSTRAINTS);
  bool mixed = false;
  for (int32_t i = 0; i < network.getNbInputs(); ++i) mixed = mixed || network.getInput(i)->getType() == DataType::kHALF;
  for (int32_t i = 0; i < network.getNbLayers(); ++i) {
    nvinfer1::ILayer const &layer = *network.getLayer(i);
    for (int32_t j = 0; j < layer.getNbOutputs(); ++j) mixed = mixed || layer.getOutput(j)->getType() == DataType::kHALF;
  }
  for (int32_t i = 0; i < network.getNbLayers(); ++i) {
    nvinfer1::ILayer &layer = *network.getLayer(i);
    bool computes = false;
    switch (layer.getType()) {
      case LayerType::kSOFTMAX:
      case LayerType::kNORMALIZATION:
      case LayerType::kREDUCE: computes = true; break;
      // A decomposed norm is made of these; in a graph that has fp16 its types are meant.
      case LayerType::kELEMENTWISE:
      case LayerType::kUNARY:
      case LayerType::kACTIVATION:
      case LayerType::kMATRIX_MULTIPLY: computes = mixed; break;
      default: break;
    }
    if (!computes || layer.getNbInputs() == 0 || layer.getInput(0) == nullptr) continue;
    if (layer.getInput(0)->getType() != DataType::kFLOAT) continue;
    layer.setPrecision(DataType::kFLOAT);
    for (int32_t j = 0; j < layer.getNbOutputs(); ++j) {
      if (layer.getOutput(j)->getType() == DataType::kFLOAT) layer.setOutputType(j, DataType::kFLOAT);
    }
  }
}
#endif

std::string parser_errors(nvonnxparser::IParser const &parser) {
  std::string all;
  for (int i = 0; i < std::min(parser.getNbErrors(), 8); ++i) {
    nvonnxparser::IParserError const *error = parser.getError(i);
    if (!all.empty()) all += "; ";
    all += "node " + std::to_string(error->node()) + ": " + error->desc();
  }
  return all;
}

}  // namespace

struct MdetrTrtEngine {
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

struct MdetrTrtContext {
  nvinfer1::ICudaEngine *engine;
  std::unique_ptr<nvinfer1::IExecutionContext> context;
};

extern "C" {

int32_t mdetr_trt_weakly_typed(void) { return MDETR_API < 1000 ? 1 : 0; }

void mdetr_trt_set_log(MdetrTrtLog log) { logger().set_hook(log); }

void mdetr_trt_headers(int32_t *major, int32_t *minor, int32_t *patch, int32_t *rtx) {
  *major = NV_TENSORRT_MAJOR;
  *minor = NV_TENSORRT_MINOR;
  *patch = NV_TENSORRT_PATCH;
  *rtx = MDETR_RTX;
}

int32_t mdetr_trt_oldest_minor(void) { return MDETR_OLDEST_MINOR; }

int32_t mdetr_trt_build(const MdetrTrtEntry *entry, const uint8_t *onnx, size_t onnx_size,
                        const char *path, const MdetrTrtRange *ranges, size_t range_count,
                        const MdetrTrtBuildOptions *options, MdetrTrtProgress progress,
                        MdetrTrtDescribe describe, void *user, MdetrTrtBytes *plan,
                        MdetrTrtBytes *timing_cache, MdetrTrtMessage message) {
  *plan = {nullptr, 0};
  *timing_cache = {nullptr, 0};
  int32_t const status = guarded(message, [&]() -> int32_t {
    Listening const heard(path);
    auto const builder =
        owned<nvinfer1::IBuilder>(entry->create_builder(&logger(), asked(*entry)));
    if (!builder) return failed(message, heard, "TensorRT made no builder");
    std::unique_ptr<nvinfer1::INetworkDefinition> const network(
        builder->createNetworkV2(network_flags()));
    if (!network) return failed(message, heard, "TensorRT made no network");
    auto const parser = owned<nvonnxparser::IParser>(
        entry->create_parser(network.get(), &logger(), NV_ONNX_PARSER_VERSION));
    if (!parser) return failed(message, heard, "TensorRT made no ONNX parser");
    if (!parser->parse(onnx, onnx_size, path)) {
      std::string const errors = parser_errors(*parser);
      if (errors.empty()) return failed(message, heard, "the ONNX parser gave no reason");
      return say(message, MDETR_TRT_FAILED, errors);
    }
    std::unique_ptr<nvinfer1::IBuilderConfig> const config(builder->createBuilderConfig());
    if (!config) return failed(message, heard, "TensorRT made no builder configuration");
    nvinfer1::IOptimizationProfile *const profile = builder->createOptimizationProfile();
    if (profile == nullptr) return failed(message, heard, "TensorRT made no profile");
    for (int32_t i = 0; i < network->getNbInputs(); ++i) {
      nvinfer1::ITensor const &input = *network->getInput(i);
      auto const *const range = std::find_if(ranges, ranges + range_count, [&](auto const &known) {
        return std::strcmp(known.name, input.getName()) == 0;
      });
      if (range == ranges + range_count) {
        return say(message, MDETR_TRT_FAILED,
                   std::string("the graph has an unknown input ") + input.getName());
      }
      nvinfer1::Dims least{}, best{}, most{};
      using Select = nvinfer1::OptProfileSelector;
      bool const taken =
          to_dims(range->rank, range->min, least) && to_dims(range->rank, range->opt, best) &&
          to_dims(range->rank, range->max, most) &&
          profile->setDimensions(input.getName(), Select::kMIN, least) &&
          profile->setDimensions(input.getName(), Select::kOPT, best) &&
          profile->setDimensions(input.getName(), Select::kMAX, most);
      if (!taken) {
        std::string const shapes = std::string("the sizes ") + text(least) + " to " + text(most) +
                                   " do not fit the input " + input.getName() + " " +
                                   text(input.getDimensions());
        return failed(message, heard, shapes.c_str());
      }
    }
    if (config->addOptimizationProfile(profile) < 0) {
      return failed(message, heard, "TensorRT refused the profile");
    }
    if (options->workspace > 0) {
      config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, options->workspace);
    }
    if (options->tf32 == 0) config->clearFlag(nvinfer1::BuilderFlag::kTF32);
#if MDETR_API < 1000
    // Else a second context finds its only profile taken.
    config->setPreviewFeature(nvinfer1::PreviewFeature::kPROFILE_SHARING_0806, true);
    if (options->half != 0) take_half(*network, *config);
#endif
#if MDETR_USER_MEMORY
    // Without it no run can be captured.
    config->setFlag(nvinfer1::BuilderFlag::kREQUIRE_USER_ALLOCATION);
#endif
#if !MDETR_RTX
    std::unique_ptr<nvinfer1::ITimingCache> cache(
        config->createTimingCache(options->timing_cache, options->timing_cache_size));
    bool cached = cache && config->setTimingCache(*cache, false);
    if (!cached && options->timing_cache_size > 0) {
      // This version or GPU cannot use it: what is measured now takes its place.
      cache.reset(config->createTimingCache(nullptr, 0));
      cached = cache && config->setTimingCache(*cache, false);
    }
#endif
#if MDETR_API >= 1000
    Monitor monitor(progress, user);
    config->setProgressMonitor(&monitor);
#else
    if (progress != nullptr) progress(user, "build", 0, 0);
#endif
    std::unique_ptr<nvinfer1::IHostMemory> const serialized(
        builder->buildSerializedNetwork(*network, *config));
#if MDETR_API >= 1000
    if (monitor.stopped()) return say(message, MDETR_TRT_INTERRUPTED, "interrupted");
#endif
    if (!serialized) return failed(message, heard, "TensorRT built no plan");
#if !MDETR_RTX
    if (cached) {
      std::unique_ptr<nvinfer1::IHostMemory> const timings(config->getTimingCache()->serialize());
      if (timings) copied(*timings, *timing_cache);
    }
#endif
    copied(*serialized, *plan);
    for (int32_t i = 0; i < network->getNbInputs(); ++i) {
      report(*network->getInput(i), profile, describe, user);
    }
    for (int32_t i = 0; i < network->getNbOutputs(); ++i) {
      report(*network->getOutput(i), nullptr, describe, user);
    }
    return MDETR_TRT_OK;
  });
  if (status != MDETR_TRT_OK) {
    mdetr_trt_free(*plan);
    mdetr_trt_free(*timing_cache);
    *plan = {nullptr, 0};
    *timing_cache = {nullptr, 0};
  }
  return status;
}

void mdetr_trt_free(MdetrTrtBytes bytes) { std::free(bytes.data); }

int32_t mdetr_trt_load(const MdetrTrtEntry *entry, const uint8_t *plan, size_t plan_size,
                       MdetrTrtEngine **engine, MdetrTrtMessage message) {
  *engine = nullptr;
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    auto made = std::make_unique<MdetrTrtEngine>();
    made->runtime = owned<nvinfer1::IRuntime>(entry->create_runtime(&logger(), asked(*entry)));
    if (!made->runtime) return failed(message, heard, "TensorRT made no runtime");
    made->engine.reset(made->runtime->deserializeCudaEngine(plan, plan_size));
    if (!made->engine) return failed(message, heard, "TensorRT refused the plan");
    *engine = made.release();
    return MDETR_TRT_OK;
  });
}

void mdetr_trt_unload(MdetrTrtEngine *engine) {
  if (engine == nullptr) return;
  engine->engine.reset();
  delete engine;
}

int32_t mdetr_trt_tensor_count(const MdetrTrtEngine *engine) {
  return engine->engine->getNbIOTensors();
}

int32_t mdetr_trt_tensor(const MdetrTrtEngine *engine, int32_t index, MdetrTrtTensor *tensor,
                         MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    nvinfer1::ICudaEngine &cuda = *engine->engine;
    char const *const name = cuda.getIOTensorName(index);
    if (name == nullptr) return failed(message, heard, "there is no such tensor");
    *tensor = MdetrTrtTensor{};
    tensor->name = name;
    tensor->is_input = cuda.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
    tensor->type = element(cuda.getTensorDataType(name));
    bool fits = from_dims(cuda.getTensorShape(name), tensor->rank, tensor->shape);
    if (fits && tensor->is_input != 0) {
      using Select = nvinfer1::OptProfileSelector;
      int32_t rank = 0;
      fits = from_dims(cuda.getProfileShape(name, 0, Select::kMIN), rank, tensor->min) &&
             from_dims(cuda.getProfileShape(name, 0, Select::kOPT), rank, tensor->opt) &&
             from_dims(cuda.getProfileShape(name, 0, Select::kMAX), rank, tensor->max);
    }
    if (!fits) return failed(message, heard, "a tensor has more than eight dimensions");
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_open_context(MdetrTrtEngine *engine, void *stream, MdetrTrtContext **context,
                               MdetrTrtMessage message) {
  *context = nullptr;
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    auto made = std::make_unique<MdetrTrtContext>();
    made->engine = engine->engine.get();
#if MDETR_API >= 1000
    made->context.reset(made->engine->createExecutionContext(
        nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED));
#else
    made->context.reset(made->engine->createExecutionContextWithoutDeviceMemory());
#endif
    if (!made->context) return failed(message, heard, "TensorRT made no execution context");
    // Only the first context has it without being told.
    if (made->context->getOptimizationProfile() < 0 &&
        !made->context->setOptimizationProfileAsync(0, static_cast<cudaStream_t>(stream))) {
      return failed(message, heard, "TensorRT refused the profile");
    }
    *context = made.release();
    return MDETR_TRT_OK;
  });
}

void mdetr_trt_close_context(MdetrTrtContext *context) { delete context; }

int32_t mdetr_trt_set_shape(MdetrTrtContext *context, const char *name, int32_t rank,
                            const int64_t *shape, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    nvinfer1::Dims dims{};
    if (!to_dims(rank, shape, dims) || !context->context->setInputShape(name, dims)) {
      return failed(message, heard, "TensorRT refused the shape");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_shape(MdetrTrtContext *context, const char *name, int32_t *rank, int64_t *shape,
                        MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    if (!from_dims(context->context->getTensorShape(name), *rank, shape)) {
      return failed(message, heard, "TensorRT gave no shape");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_bind(MdetrTrtContext *context, const char *name, void *address,
                       MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    if (!context->context->setTensorAddress(name, address)) {
      return failed(message, heard, "TensorRT refused the address");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_memory_size(MdetrTrtContext *context, size_t *bytes, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
#if MDETR_API >= 1001
    *bytes = context->context->updateDeviceMemorySizeForShapes();
    if (*bytes == 0) *bytes = static_cast<size_t>(context->engine->getDeviceMemorySizeV2());
#else
    *bytes = context->engine->getDeviceMemorySize();
#endif
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_set_memory(MdetrTrtContext *context, void *memory, size_t bytes, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
#if MDETR_API >= 1001
    context->context->setDeviceMemoryV2(memory, static_cast<int64_t>(bytes));
#else
    (void)bytes;
    context->context->setDeviceMemory(memory);
#endif
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_capturable(const MdetrTrtContext *context, void *stream) {
#if MDETR_USER_MEMORY
  return context->context->isStreamCapturable(static_cast<cudaStream_t>(stream)) ? 1 : 0;
#else
  (void)context, (void)stream;
  return 1;
#endif
}

int32_t mdetr_trt_enqueue(MdetrTrtContext *context, void *stream, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    Listening const heard;
    if (!context->context->enqueueV3(static_cast<cudaStream_t>(stream))) {
      return failed(message, heard, "TensorRT did not run the plan");
    }
    return MDETR_TRT_OK;
  });
}

}  // extern "C"
