// A GPU that is a part of the host's memory, with streams whose work is done when they are waited for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace standin {

// Memory that queued work reads or writes.
struct Span {
  void const *start;
  size_t bytes;
  bool writes;
};

struct Op {
  std::string what;
  std::vector<Span> spans;
  std::function<void()> run;
};

// Queues work on a CUstream, or records it if the stream is capturing. A CUresult.
int queue(void *stream, Op op);
bool is_capturing(void *stream);
// A call that waits for the GPU or allocates: whatever is being captured is spoiled. A CUresult.
int synchronising(char const *what);

// Device memory for the library's own use, null if there is not as much.
void *take(size_t bytes);
void give(void *address);
// Gives up all memory and streams.
void forget_memory();
// Whether all of it is one living allocation of the device.
bool is_device(void const *address, size_t bytes);

}  // namespace standin
