#include "shim.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>

// TensorRT-RTX counts its versions anew; its API is that of TensorRT 11 without weak typing.
#ifdef TRT_MAJOR_RTX
#define MDETR_RTX 1
#define MDETR_API 1100
#else
#define MDETR_RTX 0
#define MDETR_API (NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR)
#endif
static_assert(MDETR_API >= 805, "TensorRT 8.5 or later is needed");

namespace {

// What TensorRT logs, kept for messages. TensorRT remembers the first logger it is given, so there is
// one, for as long as the process lives.
class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, char const *text) noexcept override {
    if (severity > Severity::kERROR || text == nullptr) return;
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      lines_.emplace_back(next_++, std::string(text).substr(0, 2000));
      if (lines_.size() > 32) lines_.pop_front();
    } catch (...) {
    }
  }

  size_t mark() {
    std::lock_guard<std::mutex> lock(mutex_);
    return next_;
  }

  // The errors since `mark`, or `otherwise`.
  std::string since(size_t mark, char const *otherwise) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string all;
    for (auto const &[number, line] : lines_) {
      if (number < mark) continue;
      if (!all.empty()) all += "; ";
      all += line;
    }
    return all.empty() ? otherwise : all;
  }

 private:
  std::mutex mutex_;
  std::deque<std::pair<size_t, std::string>> lines_;
  size_t next_ = 0;
};

Logger &logger() {
  static Logger *const instance = new Logger;
  return *instance;
}

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
int32_t failed(MdetrTrtMessage message, size_t mark, char const *otherwise) {
  std::string const words = logger().since(mark, otherwise);
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
  std::unique_ptr<nvinfer1::IExecutionContext> context;
};

extern "C" {

void mdetr_trt_headers(int32_t *major, int32_t *minor, int32_t *patch, int32_t *rtx) {
  *major = NV_TENSORRT_MAJOR;
  *minor = NV_TENSORRT_MINOR;
  *patch = NV_TENSORRT_PATCH;
  *rtx = MDETR_RTX;
}

int32_t mdetr_trt_build(const MdetrTrtEntry *entry, const uint8_t *onnx, size_t onnx_size,
                        const char *path, const MdetrTrtRange *ranges, size_t range_count,
                        const MdetrTrtBuildOptions *options, MdetrTrtProgress progress,
                        MdetrTrtDescribe describe, void *user, MdetrTrtBytes *plan,
                        MdetrTrtBytes *timing_cache, MdetrTrtMessage message) {
  *plan = {nullptr, 0};
  *timing_cache = {nullptr, 0};
  int32_t const status = guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    auto const builder =
        owned<nvinfer1::IBuilder>(entry->create_builder(&logger(), NV_TENSORRT_VERSION));
    if (!builder) return failed(message, mark, "TensorRT made no builder");
    std::unique_ptr<nvinfer1::INetworkDefinition> const network(
        builder->createNetworkV2(network_flags()));
    if (!network) return failed(message, mark, "TensorRT made no network");
    auto const parser = owned<nvonnxparser::IParser>(
        entry->create_parser(network.get(), &logger(), NV_ONNX_PARSER_VERSION));
    if (!parser) return failed(message, mark, "TensorRT made no ONNX parser");
    if (!parser->parse(onnx, onnx_size, path)) {
      std::string const errors = parser_errors(*parser);
      if (errors.empty()) return failed(message, mark, "the ONNX parser gave no reason");
      return say(message, MDETR_TRT_FAILED, errors);
    }
    std::unique_ptr<nvinfer1::IBuilderConfig> const config(builder->createBuilderConfig());
    if (!config) return failed(message, mark, "TensorRT made no builder configuration");
    nvinfer1::IOptimizationProfile *const profile = builder->createOptimizationProfile();
    if (profile == nullptr) return failed(message, mark, "TensorRT made no profile");
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
        return failed(message, mark, shapes.c_str());
      }
    }
    if (config->addOptimizationProfile(profile) < 0) {
      return failed(message, mark, "TensorRT refused the profile");
    }
    if (options->workspace > 0) {
      config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, options->workspace);
    }
    if (options->tf32 == 0) config->clearFlag(nvinfer1::BuilderFlag::kTF32);
#if MDETR_API < 1000
    if (options->half != 0) config->setFlag(nvinfer1::BuilderFlag::kFP16);
#endif
#if !MDETR_RTX
    std::unique_ptr<nvinfer1::ITimingCache> const cache(
        config->createTimingCache(options->timing_cache, options->timing_cache_size));
    // A cache that this version or GPU cannot use is left alone.
    bool const cached = cache && config->setTimingCache(*cache, false);
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
    if (!serialized) return failed(message, mark, "TensorRT built no plan");
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
    size_t const mark = logger().mark();
    auto made = std::make_unique<MdetrTrtEngine>();
    made->runtime = owned<nvinfer1::IRuntime>(entry->create_runtime(&logger(), NV_TENSORRT_VERSION));
    if (!made->runtime) return failed(message, mark, "TensorRT made no runtime");
    made->engine.reset(made->runtime->deserializeCudaEngine(plan, plan_size));
    if (!made->engine) return failed(message, mark, "TensorRT refused the plan");
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
    size_t const mark = logger().mark();
    nvinfer1::ICudaEngine &cuda = *engine->engine;
    char const *const name = cuda.getIOTensorName(index);
    if (name == nullptr) return failed(message, mark, "there is no such tensor");
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
    if (!fits) return failed(message, mark, "a tensor has more than eight dimensions");
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_open_context(MdetrTrtEngine *engine, MdetrTrtContext **context,
                               MdetrTrtMessage message) {
  *context = nullptr;
  return guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    auto made = std::make_unique<MdetrTrtContext>();
    made->context.reset(engine->engine->createExecutionContext());
    if (!made->context) return failed(message, mark, "TensorRT made no execution context");
    *context = made.release();
    return MDETR_TRT_OK;
  });
}

void mdetr_trt_close_context(MdetrTrtContext *context) { delete context; }

int32_t mdetr_trt_set_shape(MdetrTrtContext *context, const char *name, int32_t rank,
                            const int64_t *shape, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    nvinfer1::Dims dims{};
    if (!to_dims(rank, shape, dims) || !context->context->setInputShape(name, dims)) {
      return failed(message, mark, "TensorRT refused the shape");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_shape(MdetrTrtContext *context, const char *name, int32_t *rank, int64_t *shape,
                        MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    if (!from_dims(context->context->getTensorShape(name), *rank, shape)) {
      return failed(message, mark, "TensorRT gave no shape");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_bind(MdetrTrtContext *context, const char *name, void *address,
                       MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    if (!context->context->setTensorAddress(name, address)) {
      return failed(message, mark, "TensorRT refused the address");
    }
    return MDETR_TRT_OK;
  });
}

int32_t mdetr_trt_enqueue(MdetrTrtContext *context, void *stream, MdetrTrtMessage message) {
  return guarded(message, [&]() -> int32_t {
    size_t const mark = logger().mark();
    if (!context->context->enqueueV3(static_cast<cudaStream_t>(stream))) {
      return failed(message, mark, "TensorRT did not run the plan");
    }
    return MDETR_TRT_OK;
  });
}

}  // extern "C"
