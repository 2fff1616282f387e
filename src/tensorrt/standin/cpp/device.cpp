#include "device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "control.h"

namespace standin {
namespace {

constexpr int kFresh = 0xCD;
constexpr int kFreed = 0xDD;

struct Block {
  size_t bytes;
  bool alive;
  bool host;
};

struct Stream {
  std::deque<Op> pending;
  bool capturing = false;
  bool spoiled = false;
  std::thread::id capturer;
  std::vector<Op> captured;
};

struct Graph {
  std::vector<Op> ops;
};

struct World {
  // By their start. Freed ones stay, so that no address is given twice.
  std::map<uintptr_t, Block> blocks;
  std::set<Stream *> streams;
  size_t used = 0;
};

World &all() {
  static World *const instance = new World;
  return *instance;
}

thread_local void *current = nullptr;

uintptr_t number(void const *address) { return reinterpret_cast<uintptr_t>(address); }

Block *block_of(void const *address, size_t bytes) {
  auto &blocks = all().blocks;
  auto after = blocks.upper_bound(number(address));
  if (after == blocks.begin()) return nullptr;
  auto const found = std::prev(after);
  uintptr_t const end = found->first + found->second.bytes;
  return number(address) + bytes <= end ? &found->second : nullptr;
}

bool overlap(Span const &a, Span const &b) {
  return number(a.start) < number(b.start) + b.bytes && number(b.start) < number(a.start) + a.bytes;
}

bool is_alive(Span const &span) {
  Block const *const block = block_of(span.start, span.bytes);
  return block != nullptr && block->alive;
}

// Other streams' queued work on the same memory, of which one writes.
void check_races(Stream *stream, Op const &op) {
  for (Stream *other : all().streams) {
    if (other == stream) continue;
    for (Op const &queued : other->pending) {
      for (Span const &a : op.spans) {
        for (Span const &b : queued.spans) {
          if ((a.writes || b.writes) && overlap(a, b)) {
            violation("race: " + op.what + " against " + queued.what + " on another stream");
            return;
          }
        }
      }
    }
  }
}

void finish(Stream *stream) {
  while (!stream->pending.empty()) {
    Op op = std::move(stream->pending.front());
    stream->pending.pop_front();
    if (lost()) continue;
    for (Span const &span : op.spans) {
      if (!is_alive(span)) violation("freed before it was used: " + op.what);
    }
    op.run();
  }
}

void *allocate(size_t bytes, bool host) {
  size_t const rounded = (bytes + 255) / 256 * 256;
  void *const start = std::aligned_alloc(256, std::max<size_t>(rounded, 256));
  if (start == nullptr) return nullptr;
  std::memset(start, kFresh, rounded);
  all().blocks[number(start)] = {bytes, true, host};
  if (!host) all().used += bytes;
  count(host ? "alive pinned" : "alive device");
  return start;
}

int release(void *start, bool host) {
  auto const found = all().blocks.find(number(start));
  if (found == all().blocks.end() || !found->second.alive || found->second.host != host) {
    violation("freed what is not allocated");
    return kInvalidValue;
  }
  Span const span{start, found->second.bytes, true};
  for (Stream *stream : all().streams) {
    for (Op const &op : stream->pending) {
      for (Span const &used : op.spans) {
        if (overlap(span, used)) violation("freed while in use: " + op.what);
      }
    }
  }
  std::memset(start, kFreed, found->second.bytes);
  found->second.alive = false;
  if (!host) all().used -= found->second.bytes;
  count(host ? "alive pinned" : "alive device", -1);
  return kOk;
}

int entered(char const *name) {
  int const code = called(name);
  if (code != kOk) return code;
  return current == nullptr ? kInvalidContext : kOk;
}

Stream *known(void *stream) {
  auto *const found = static_cast<Stream *>(stream);
  return all().streams.count(found) > 0 ? found : nullptr;
}

}  // namespace

int queue(void *handle, Op op) {
  Stream *const stream = known(handle);
  if (stream == nullptr) return kInvalidHandle;
  for (Span const &span : op.spans) {
    if (!is_alive(span)) {
      violation("not allocated: " + op.what);
      return kIllegalAddress;
    }
  }
  if (stream->capturing) {
    if (stream->spoiled) return kCaptureInvalidated;
    stream->captured.push_back(std::move(op));
    return kOk;
  }
  check_races(stream, op);
  stream->pending.push_back(std::move(op));
  return kOk;
}

bool is_capturing(void *handle) {
  Stream *const stream = known(handle);
  return stream != nullptr && stream->capturing;
}

int synchronising(char const *what) {
  int code = kOk;
  for (Stream *stream : all().streams) {
    if (!stream->capturing || stream->spoiled) continue;
    stream->spoiled = true;
    count("spoiled captures");
    count((std::string("spoiled by ") + what).c_str());
    if (stream->capturer == std::this_thread::get_id()) code = kCaptureUnsupported;
  }
  return code;
}

void *take(size_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(world());
  if (all().used + bytes > limit()) return nullptr;
  return allocate(bytes, false);
}

void give(void *address) {
  std::lock_guard<std::recursive_mutex> lock(world());
  if (address != nullptr) release(address, false);
}

void forget_memory() {
  for (auto &[start, block] : all().blocks) block.alive = false;
  all().used = 0;
  for (Stream *stream : all().streams) delete stream;
  all().streams.clear();
}

bool is_device(void const *address, size_t bytes) {
  Block const *const block = block_of(address, bytes);
  return block != nullptr && block->alive && !block->host;
}

}  // namespace standin

using namespace standin;

#define ENTER(name)                                     \
  std::lock_guard<std::recursive_mutex> lock(world());  \
  if (int const code = entered(name); code != kOk) return code

extern "C" {

int cuInit(unsigned) { return called("cuInit"); }

int cuDeviceGetCount(int *count) {
  *count = 1;
  return called("cuDeviceGetCount");
}

int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return called("cuDeviceGet");
}

int cuDeviceGetName(char *name, int length, int) {
  std::string const text = "Stand-in " + std::to_string(gpu());
  std::strncpy(name, text.c_str(), static_cast<size_t>(length));
  return called("cuDeviceGetName");
}

int cuDeviceGetAttribute(int *value, int which, int) {
  constexpr int kMajor = 75;
  *value = which == kMajor ? 8 : 7;
  return called("cuDeviceGetAttribute");
}

int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &all();
  count("alive contexts of CUDA");
  return called("cuDevicePrimaryCtxRetain");
}

int cuDevicePrimaryCtxRelease_v2(int) {
  count("alive contexts of CUDA", -1);
  return called("cuDevicePrimaryCtxRelease_v2");
}

int cuCtxSetCurrent(void *context) {
  if (int const code = called("cuCtxSetCurrent"); code != kOk) return code;
  if (context != &all()) return kInvalidContext;
  current = context;
  return kOk;
}

int cuMemGetInfo_v2(size_t *unused, size_t *total) {
  ENTER("cuMemGetInfo_v2");
  *unused = limit() - std::min(limit(), all().used);
  *total = limit();
  return kOk;
}

int cuMemAlloc_v2(unsigned long long *address, size_t size) {
  ENTER("cuMemAlloc_v2");
  if (int const code = synchronising("cuMemAlloc"); code != kOk) return code;
  if (all().used + size > limit()) return kOutOfMemory;
  *address = number(allocate(size, false));
  return kOk;
}

int cuMemFree_v2(unsigned long long address) {
  ENTER("cuMemFree_v2");
  if (int const code = synchronising("cuMemFree"); code != kOk) return code;
  return release(reinterpret_cast<void *>(address), false);
}

int cuMemHostAlloc(void **start, size_t size, unsigned) {
  ENTER("cuMemHostAlloc");
  if (int const code = synchronising("cuMemHostAlloc"); code != kOk) return code;
  *start = allocate(size, true);
  return kOk;
}

int cuMemFreeHost(void *start) {
  ENTER("cuMemFreeHost");
  if (int const code = synchronising("cuMemFreeHost"); code != kOk) return code;
  return release(start, true);
}

int cuStreamCreate(void **stream, unsigned) {
  ENTER("cuStreamCreate");
  auto *const made = new Stream;
  all().streams.insert(made);
  *stream = made;
  count("alive streams");
  return kOk;
}

int cuStreamDestroy_v2(void *handle) {
  ENTER("cuStreamDestroy_v2");
  Stream *const stream = known(handle);
  if (stream == nullptr) return kInvalidHandle;
  finish(stream);
  all().streams.erase(stream);
  delete stream;
  count("alive streams", -1);
  return kOk;
}

int cuStreamSynchronize(void *handle) {
  ENTER("cuStreamSynchronize");
  Stream *const stream = known(handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capturing) {
    stream->spoiled = true;
    return kCaptureUnsupported;
  }
  finish(stream);
  return lost() ? kLaunchFailed : kOk;
}

int cuCtxSynchronize() {
  ENTER("cuCtxSynchronize");
  if (int const code = synchronising("cuCtxSynchronize"); code != kOk) return code;
  for (Stream *stream : all().streams) finish(stream);
  return kOk;
}

int cuMemcpyHtoDAsync_v2(unsigned long long to, void const *from, size_t size, void *stream) {
  ENTER("cuMemcpyHtoDAsync_v2");
  void *const target = reinterpret_cast<void *>(to);
  if (block_of(from, size) == nullptr) {
    // Pageable memory is read before the call returns.
    auto const copy = std::make_shared<std::vector<char>>(
        static_cast<char const *>(from), static_cast<char const *>(from) + size);
    return queue(stream, {"copy to the device", {{target, size, true}}, [=] {
                            std::memcpy(target, copy->data(), size);
                          }});
  }
  return queue(stream, {"copy to the device",
                        {{from, size, false}, {target, size, true}},
                        [=] { std::memcpy(target, from, size); }});
}

int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream) {
  ENTER("cuMemcpyDtoHAsync_v2");
  void const *const source = reinterpret_cast<void const *>(from);
  if (block_of(to, size) == nullptr) {
    Stream *const found = known(stream);
    if (found == nullptr || found->capturing) return kInvalidHandle;
    finish(found);
    std::memcpy(to, source, size);
    return kOk;
  }
  return queue(stream, {"copy from the device",
                        {{source, size, false}, {to, size, true}},
                        [=] { std::memcpy(to, source, size); }});
}

int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t size, void *stream) {
  ENTER("cuMemcpyDtoDAsync_v2");
  void *const target = reinterpret_cast<void *>(to);
  void const *const source = reinterpret_cast<void const *>(from);
  return queue(stream, {"copy on the device",
                        {{source, size, false}, {target, size, true}},
                        [=] { std::memmove(target, source, size); }});
}

int cuStreamBeginCapture_v2(void *handle, int) {
  ENTER("cuStreamBeginCapture_v2");
  Stream *const stream = known(handle);
  if (stream == nullptr || stream->capturing) return kInvalidHandle;
  stream->capturing = true;
  stream->spoiled = false;
  stream->captured.clear();
  stream->capturer = std::this_thread::get_id();
  return kOk;
}

int cuStreamEndCapture(void *handle, void **graph) {
  std::lock_guard<std::recursive_mutex> lock(world());
  *graph = nullptr;
  int const code = called("cuStreamEndCapture");
  Stream *const stream = known(handle);
  if (stream == nullptr || !stream->capturing) return kInvalidHandle;
  stream->capturing = false;
  if (code != kOk) return code;
  if (stream->spoiled) return kCaptureInvalidated;
  *graph = new Graph{std::move(stream->captured)};
  stream->captured.clear();
  count("alive graphs");
  return kOk;
}

int cuGraphInstantiateWithFlags(void **made, void *graph, unsigned long long) {
  ENTER("cuGraphInstantiateWithFlags");
  if (graph == nullptr) return kInvalidValue;
  *made = new Graph(*static_cast<Graph *>(graph));
  count("alive executable graphs");
  return kOk;
}

int cuGraphDestroy(void *graph) {
  ENTER("cuGraphDestroy");
  delete static_cast<Graph *>(graph);
  count("alive graphs", -1);
  return kOk;
}

int cuGraphExecDestroy(void *graph) {
  ENTER("cuGraphExecDestroy");
  delete static_cast<Graph *>(graph);
  count("alive executable graphs", -1);
  return kOk;
}

int cuGraphLaunch(void *graph, void *stream) {
  ENTER("cuGraphLaunch");
  for (Op const &op : static_cast<Graph *>(graph)->ops) {
    if (int const code = queue(stream, op); code != kOk) return code;
  }
  return kOk;
}

int cuGetErrorString(int error, char const **text) {
  switch (error) {
    case kOutOfMemory: *text = "out of memory"; break;
    case kInvalidContext: *text = "invalid device context"; break;
    case kIllegalAddress: *text = "an illegal memory access was encountered"; break;
    case kLaunchFailed: *text = "unspecified launch failure"; break;
    case kCaptureUnsupported: *text = "operation not permitted when stream is capturing"; break;
    case kCaptureInvalidated: *text = "operation failed due to a previous error during capture"; break;
    default: *text = "invalid argument";
  }
  return kOk;
}

}  // extern "C"
