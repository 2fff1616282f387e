/* A CUDA driver whose GPU is a part of the host's memory: 1 MiB of it. */
#include <stdlib.h>
#include <string.h>

typedef int Result;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, LIMIT = 1 << 20, BLOCKS = 64 };

static size_t used;
static struct { void *start; size_t size; } blocks[BLOCKS];

Result cuInit(unsigned flags) { (void)flags; return SUCCESS; }
Result cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
Result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return SUCCESS; }
Result cuDeviceGetName(char *name, int length, int device) {
  (void)device;
  strncpy(name, "Stand-in", length);
  return SUCCESS;
}
Result cuDeviceGetAttribute(int *value, int which, int device) {
  (void)device;
  *value = which == 75 ? 8 : 7; /* compute capability 8.7 */
  return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = &used; return SUCCESS; }
Result cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return SUCCESS; }
Result cuCtxSetCurrent(void *context) { return context == &used ? SUCCESS : INVALID_VALUE; }
Result cuMemGetInfo_v2(size_t *unused, size_t *total) { *unused = LIMIT - used; *total = LIMIT; return SUCCESS; }
Result cuMemAlloc_v2(unsigned long long *address, size_t size) {
  if (size > LIMIT - used) return OUT_OF_MEMORY;
  for (int i = 0; i < BLOCKS; ++i) {
    if (blocks[i].start != NULL) continue;
    blocks[i].start = malloc(size);
    blocks[i].size = size;
    used += size;
    *address = (unsigned long long)blocks[i].start;
    return SUCCESS;
  }
  return OUT_OF_MEMORY;
}
Result cuMemFree_v2(unsigned long long address) {
  for (int i = 0; i < BLOCKS; ++i) {
    if (blocks[i].start != (void *)address) continue;
    free(blocks[i].start);
    used -= blocks[i].size;
    blocks[i].start = NULL;
    return SUCCESS;
  }
  return INVALID_VALUE;
}
Result cuMemHostAlloc(void **start, size_t size, unsigned flags) { (void)flags; *start = malloc(size); return SUCCESS; }
Result cuMemFreeHost(void *start) { free(start); return SUCCESS; }
Result cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = &blocks; return SUCCESS; }
Result cuStreamDestroy_v2(void *stream) { return stream == &blocks ? SUCCESS : INVALID_VALUE; }
Result cuStreamSynchronize(void *stream) { return stream == &blocks ? SUCCESS : INVALID_VALUE; }
Result cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream) {
  memcpy((void *)to, from, size);
  return cuStreamSynchronize(stream);
}
Result cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream) {
  memcpy(to, (void *)from, size);
  return cuStreamSynchronize(stream);
}
Result cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t size, void *stream) {
  memcpy((void *)to, (void *)from, size);
  return cuStreamSynchronize(stream);
}
Result cuGetErrorString(Result error, const char **text) {
  *text = error == OUT_OF_MEMORY ? "out of memory" : "invalid argument";
  return SUCCESS;
}
