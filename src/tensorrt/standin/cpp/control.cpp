#include "control.h"
#include "device.h"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

namespace standin {
namespace {

struct Fault {
  int left;
  int code;
};

struct Control {
  std::map<std::string, Fault> faults;
  std::map<std::string, int64_t> counters;
  std::vector<std::string> violations;
  bool lost = false;
  int gpu = 1;
  size_t limit = 1U << 28;
};

Control &control() {
  static Control *const instance = new Control;
  return *instance;
}

std::mutex holding;
std::condition_variable released;
bool held = false;

}  // namespace

std::recursive_mutex &world() {
  static std::recursive_mutex *const instance = new std::recursive_mutex;
  return *instance;
}

int called(char const *name) {
  std::lock_guard<std::recursive_mutex> lock(world());
  Control &c = control();
  ++c.counters[name];
  if (c.lost) return kLaunchFailed;
  auto const found = c.faults.find(name);
  if (found == c.faults.end() || found->second.left-- > 0) return kOk;
  int const code = found->second.code;
  c.faults.erase(found);
  if (code == kLaunchFailed) c.lost = true;
  return code;
}

void violation(std::string const &text) {
  std::lock_guard<std::recursive_mutex> lock(world());
  control().violations.push_back(text);
}

void count(char const *name, int64_t by) {
  std::lock_guard<std::recursive_mutex> lock(world());
  control().counters[name] += by;
}

bool lost() { return control().lost; }
int gpu() { return control().gpu; }
size_t limit() { return control().limit; }

void wait_for_builds() {
  std::unique_lock<std::mutex> lock(holding);
  released.wait(lock, [] { return !held; });
}

void unexpected(char const *name) noexcept {
  std::fprintf(stderr, "the stand-in has no %s\n", name);
  std::abort();
}

}  // namespace standin

using namespace standin;

extern "C" {

// Forgets everything, what was leaked too.
void standin_reset() {
  std::lock_guard<std::recursive_mutex> lock(world());
  Control &c = control();
  c.faults.clear();
  c.violations.clear();
  c.counters.clear();
  forget_memory();
  c.lost = false;
  c.gpu = 1;
  c.limit = 1U << 28;
}

// Lets the call of that name fail with `code` after `after` more that do not.
void standin_fail(char const *name, int after, int code) {
  std::lock_guard<std::recursive_mutex> lock(world());
  control().faults[name] = {after, code};
}

int64_t standin_count(char const *name) {
  std::lock_guard<std::recursive_mutex> lock(world());
  return control().counters[name];
}

// Writes the broken rules, one a line, cut to the capacity; gives their number.
int64_t standin_violations(char *text, size_t capacity) {
  std::lock_guard<std::recursive_mutex> lock(world());
  std::string all;
  for (auto const &one : control().violations) all += one + "\n";
  if (capacity > 0) {
    size_t const length = all.size() < capacity - 1 ? all.size() : capacity - 1;
    std::memcpy(text, all.data(), length);
    text[length] = 0;
  }
  return static_cast<int64_t>(control().violations.size());
}

void standin_set_limit(size_t bytes) { control().limit = bytes; }
// Another GPU: plans and timings of the one before are foreign to it.
void standin_set_gpu(int number) { control().gpu = number; }

void standin_hold_builds(int hold) {
  {
    std::lock_guard<std::mutex> lock(holding);
    held = hold != 0;
  }
  released.notify_all();
}

}  // extern "C"
