/* A C view of what is common to TensorRT 8.6 and later, 10, 11 and TensorRT-RTX.
 *
 * No exception leaves a function. Functions that can fail return a status and write a message,
 * cut to its capacity and ended by a zero. Handles are used by one thread at a time.
 */
#ifndef MDETR_TENSORRT_SHIM_H
#define MDETR_TENSORRT_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MDETR_TRT_OK = 0, MDETR_TRT_FAILED = 1, MDETR_TRT_INTERRUPTED = 2, MDETR_TRT_MEMORY = 3 };
enum { MDETR_TRT_MAX_RANK = 8 };
/* Element types; anything else is OTHER. */
enum {
  MDETR_TRT_FLOAT = 0,
  MDETR_TRT_HALF = 1,
  MDETR_TRT_INT32 = 2,
  MDETR_TRT_INT64 = 3,
  MDETR_TRT_BOOL = 4,
  MDETR_TRT_OTHER = 5
};

/* What the opened libraries export. `create_parser` may be null where nothing is built. `version` is the library's, as it
 * gives it. */
typedef struct {
  int32_t version;
  void *(*create_builder)(void *logger, int32_t version);
  void *(*create_runtime)(void *logger, int32_t version);
  void *(*create_parser)(void *network, void *logger, int version);
} MdetrTrtEntry;

typedef struct {
  char *data;
  size_t capacity;
} MdetrTrtMessage;

/* Memory of the shim; returned through mdetr_trt_free. */
typedef struct {
  uint8_t *data;
  size_t size;
} MdetrTrtBytes;

/* Sizes that an input may have. */
typedef struct {
  const char *name;
  int32_t rank;
  const int64_t *min;
  const int64_t *opt;
  const int64_t *max;
} MdetrTrtRange;

typedef struct {
  uint64_t workspace; /* bytes; 0: TensorRT's own limit */
  int32_t half;       /* where types are not given by the graph: fp16 where faster, but for norms and softmax */
  int32_t tf32;       /* let fp32 products use TF32 */
  const uint8_t *timing_cache;
  size_t timing_cache_size;
} MdetrTrtBuildOptions;

/* Called from TensorRT's threads, never two at once; `step` of `steps` of `phase` is done.
 * Zero asks the build to stop. */
typedef int32_t (*MdetrTrtProgress)(void *user, const char *phase, int32_t step, int32_t steps);

typedef struct {
  const char *name; /* lives as long as the engine, or as the call that gives it */
  int32_t is_input;
  int32_t type;
  int32_t rank;
  int64_t shape[MDETR_TRT_MAX_RANK]; /* -1: open */
  int64_t min[MDETR_TRT_MAX_RANK];   /* of inputs: the profile's */
  int64_t opt[MDETR_TRT_MAX_RANK];
  int64_t max[MDETR_TRT_MAX_RANK];
} MdetrTrtTensor;

/* Called for each input and output of a plan that was built. */
typedef void (*MdetrTrtDescribe)(void *user, const MdetrTrtTensor *tensor);

/* Called from any of TensorRT's threads. `severity` is as in nvinfer1::ILogger: 0 and 1 are errors, 2 warnings,
 * 3 information, 4 details. `graph`: what was being built, null if it is not known. */
typedef void (*MdetrTrtLog)(int32_t severity, const char *graph, const char *text);

typedef struct MdetrTrtEngine MdetrTrtEngine;
typedef struct MdetrTrtContext MdetrTrtContext;

/* The headers that this was compiled with. */
void mdetr_trt_headers(int32_t *major, int32_t *minor, int32_t *patch, int32_t *rtx);

/* The oldest minor version, of the headers' major one, whose library has all that is used. */
int32_t mdetr_trt_oldest_minor(void);

/* Whether this TensorRT chooses types that the graph does not give. */
int32_t mdetr_trt_weakly_typed(void);
/* Hears what TensorRT logs; null: nobody does. */
void mdetr_trt_set_log(MdetrTrtLog log);

int32_t mdetr_trt_build(const MdetrTrtEntry *entry, const uint8_t *onnx, size_t onnx_size,
                        const char *path, const MdetrTrtRange *ranges, size_t range_count,
                        const MdetrTrtBuildOptions *options, MdetrTrtProgress progress,
                        MdetrTrtDescribe describe, void *user, MdetrTrtBytes *plan, MdetrTrtBytes *timing_cache,
                        MdetrTrtMessage message);
void mdetr_trt_free(MdetrTrtBytes bytes);

int32_t mdetr_trt_load(const MdetrTrtEntry *entry, const uint8_t *plan, size_t plan_size,
                       MdetrTrtEngine **engine, MdetrTrtMessage message);
void mdetr_trt_unload(MdetrTrtEngine *engine);
int32_t mdetr_trt_tensor_count(const MdetrTrtEngine *engine);
int32_t mdetr_trt_tensor(const MdetrTrtEngine *engine, int32_t index, MdetrTrtTensor *tensor,
                         MdetrTrtMessage message);

/* A context without memory for intermediate results. The engine outlives its contexts. `stream` is a CUstream,
 * at rest when the call returns if it was at rest before. */
int32_t mdetr_trt_open_context(MdetrTrtEngine *engine, void *stream, MdetrTrtContext **context,
                               MdetrTrtMessage message);
void mdetr_trt_close_context(MdetrTrtContext *context);
int32_t mdetr_trt_set_shape(MdetrTrtContext *context, const char *name, int32_t rank,
                            const int64_t *shape, MdetrTrtMessage message);
/* An output's shape once all inputs have theirs. */
int32_t mdetr_trt_shape(MdetrTrtContext *context, const char *name, int32_t *rank, int64_t *shape,
                        MdetrTrtMessage message);
int32_t mdetr_trt_bind(MdetrTrtContext *context, const char *name, void *address,
                       MdetrTrtMessage message);
/* Bytes of device memory for intermediate results, once all inputs have their shapes. */
int32_t mdetr_trt_memory_size(MdetrTrtContext *context, size_t *bytes, MdetrTrtMessage message);
/* Gives it that memory, which may serve other contexts that do not run at the same time. */
int32_t mdetr_trt_set_memory(MdetrTrtContext *context, void *memory, size_t bytes, MdetrTrtMessage message);
/* Whether what is queued next may be captured, as far as TensorRT says. */
int32_t mdetr_trt_capturable(const MdetrTrtContext *context, void *stream);
/* `stream` is a CUstream. */
int32_t mdetr_trt_enqueue(MdetrTrtContext *context, void *stream, MdetrTrtMessage message);

#ifdef __cplusplus
}
#endif
#endif
