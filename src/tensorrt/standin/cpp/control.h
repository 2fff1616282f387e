// What tests steer and read: failures on demand, counters, broken rules.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace standin {

// CUresult, as far as it is used.
enum Code : int {
  kOk = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kInvalidContext = 201,
  kInvalidHandle = 400,
  kIllegalAddress = 700,
  kLaunchFailed = 719,
  kCaptureUnsupported = 900,
  kCaptureInvalidated = 901,
};

// Guards everything here. Held for the length of a call, never while a build waits.
std::recursive_mutex &world();

// Counts a call; what it is to fail with, kOk if it is not. After kLaunchFailed every call fails with
// it until the reset.
int called(char const *name);

// A rule that the caller broke: the test that finds one fails.
void violation(std::string const &text);

// Raises or lowers a counter.
void count(char const *name, int64_t by = 1);

bool lost();
int gpu();
size_t limit();
// Returns once no test holds builds.
void wait_for_builds();

// A function of TensorRT that nothing here implements.
[[noreturn]] void unexpected(char const *name) noexcept;

}  // namespace standin
