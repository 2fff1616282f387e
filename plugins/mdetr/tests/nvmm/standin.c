/* Stands in for NVIDIA's libnvbufsurface and libnvbufsurftransform. A device's memory is apart from what the CPU sees, which
 * NvBufSurfaceSyncForCpu alone fills. What the real libraries would answer with garbage or a crash ends the process. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLANES = 4, PADDING = 4, RGBA = 19, NV12 = 6 };

typedef struct {
  uint32_t num_planes, width[PLANES], height[PLANES], pitch[PLANES], offset[PLANES], psize[PLANES], bytes_per_pixel[PLANES];
  void *reserved[PADDING * PLANES];
} Planes;

typedef struct {
  void *addr[PLANES];
  void *egl_image;
  void *reserved[PADDING];
} Addresses;

typedef struct {
  uint32_t width, height, pitch;
  uint32_t color_format, layout;
  uint64_t buffer_desc;
  uint32_t data_size;
  void *data_ptr;
  Planes planes;
  Addresses mapped;
  void *reserved[PADDING];
} Params;

typedef struct {
  uint32_t gpu_id, batch_size, num_filled;
  bool is_contiguous;
  uint32_t mem_type;
  Params *list;
  void *reserved[PADDING];
} Surface;

typedef struct {
  uint32_t gpu_id, width, height, size;
  bool is_contiguous;
  uint32_t color_format, layout, mem_type;
} CreateParams;

typedef struct {
  uint32_t flag, flip, filter;
  void *src_rect, *dst_rect;
} TransformParams;

typedef struct {
  uint32_t compute_mode;
  int32_t gpu_id;
  void *stream;
} SessionParams;

static int made, mapped, transforms;
static bool broken;
static __thread bool session;

static void check(bool good, const char *what) {
  if (!good) {
    fprintf(stderr, "stand-in of NVMM: %s\n", what);
    abort();
  }
}

static Surface *make(uint32_t width, uint32_t height, uint32_t format) {
  check(format == RGBA || format == NV12, "only RGBA and NV12 are known");
  Surface *surface = calloc(1, sizeof *surface);
  Params *params = surface->list = calloc(1, sizeof *params);
  surface->batch_size = 1;
  params->width = width;
  params->height = height;
  params->color_format = format;
  Planes *planes = &params->planes;
  planes->num_planes = format == RGBA ? 1 : 2;
  for (uint32_t plane = 0; plane < planes->num_planes; plane++) {
    planes->bytes_per_pixel[plane] = format == RGBA ? 4 : plane + 1;
    planes->width[plane] = plane ? (width + 1) / 2 : width;
    planes->height[plane] = plane ? (height + 1) / 2 : height;
    /* Rows are padded, as the hardware wants them. */
    planes->pitch[plane] = (planes->width[plane] * planes->bytes_per_pixel[plane] + 255) / 256 * 256;
    planes->offset[plane] = params->data_size;
    planes->psize[plane] = planes->pitch[plane] * planes->height[plane];
    params->data_size += planes->psize[plane];
  }
  params->pitch = planes->pitch[0];
  params->data_ptr = malloc(params->data_size);
  memset(params->data_ptr, 0xee, params->data_size);
  __atomic_add_fetch(&made, 1, __ATOMIC_SEQ_CST);
  return surface;
}

int NvBufSurfaceCreate(Surface **surface, uint32_t batch, CreateParams *params) {
  check(batch == 1 && params->size == 0, "one surface of a size");
  check(params->color_format == RGBA && params->layout == 0, "RGBA in rows can be read");
  *surface = make(params->width, params->height, params->color_format);
  return 0;
}

int NvBufSurfaceDestroy(Surface *surface) {
  for (int plane = 0; plane < PLANES; plane++) check(!surface->list->mapped.addr[plane], "destroyed while mapped");
  free(surface->list->data_ptr);
  free(surface->list);
  free(surface);
  __atomic_sub_fetch(&made, 1, __ATOMIC_SEQ_CST);
  return 0;
}

int NvBufSurfaceMap(Surface *surface, int index, int plane, uint32_t flags) {
  check(index == 0 && plane >= 0 && plane < (int)surface->list->planes.num_planes && flags == 0, "maps a plane to read");
  void **address = &surface->list->mapped.addr[plane];
  check(!*address, "mapped twice");
  *address = malloc(surface->list->planes.psize[plane]);
  memset(*address, 0x55, surface->list->planes.psize[plane]);
  __atomic_add_fetch(&mapped, 1, __ATOMIC_SEQ_CST);
  return 0;
}

int NvBufSurfaceUnMap(Surface *surface, int index, int plane) {
  void **address = &surface->list->mapped.addr[plane];
  check(index == 0 && *address, "unmapped, and was not mapped");
  free(*address);
  *address = NULL;
  __atomic_sub_fetch(&mapped, 1, __ATOMIC_SEQ_CST);
  return 0;
}

int NvBufSurfaceSyncForCpu(Surface *surface, int index, int plane) {
  Params *params = surface->list;
  check(index == 0 && params->mapped.addr[plane], "synchronised, and is not mapped");
  memcpy(params->mapped.addr[plane], (char *)params->data_ptr + params->planes.offset[plane], params->planes.psize[plane]);
  return 0;
}

int NvBufSurfTransformSetSessionParams(SessionParams *params) {
  check(params->compute_mode == 0 && !params->stream, "the default session");
  session = true;
  return 0;
}

static int clamp(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

static void pixel(const Params *params, uint32_t x, uint32_t y, int *rgb) {
  const uint8_t *data = params->data_ptr;
  const Planes *planes = &params->planes;
  const uint8_t *first = data + (size_t)y * planes->pitch[0] + x * planes->bytes_per_pixel[0];
  if (params->color_format == RGBA) {
    for (int channel = 0; channel < 3; channel++) rgb[channel] = first[channel];
    return;
  }
  const uint8_t *chroma = data + planes->offset[1] + (size_t)(y / 2) * planes->pitch[1] + x / 2 * 2;
  int luma = 298 * (first[0] - 16), cb = chroma[0] - 128, cr = chroma[1] - 128;
  rgb[0] = clamp((luma + 409 * cr + 128) >> 8);
  rgb[1] = clamp((luma - 100 * cb - 208 * cr + 128) >> 8);
  rgb[2] = clamp((luma + 516 * cb + 128) >> 8);
}

/* Each pixel is the mean of those that it covers. */
int NvBufSurfTransform(Surface *from, Surface *to, TransformParams *params) {
  check(session, "a thread without a session");
  check(params->flag == 1 << 2 && params->filter <= 5 && !params->src_rect && !params->dst_rect, "a whole frame, filtered");
  if (broken) return -2;
  Params *in = from->list, *out = to->list;
  check(in->width <= 16 * out->width && in->height <= 16 * out->height, "scaled by more than 16");
  for (uint32_t y = 0; y < out->height; y++) {
    uint32_t top = (uint64_t)y * in->height / out->height, bottom = (uint64_t)(y + 1) * in->height / out->height;
    if (bottom == top) bottom++;
    uint8_t *row = (uint8_t *)out->data_ptr + (size_t)y * out->planes.pitch[0];
    for (uint32_t x = 0; x < out->width; x++) {
      uint32_t left = (uint64_t)x * in->width / out->width, right = (uint64_t)(x + 1) * in->width / out->width;
      if (right == left) right++;
      int sum[3] = {0}, rgb[3], count = (bottom - top) * (right - left);
      for (uint32_t v = top; v < bottom; v++)
        for (uint32_t u = left; u < right; u++) {
          pixel(in, u, v, rgb);
          for (int channel = 0; channel < 3; channel++) sum[channel] += rgb[channel];
        }
      for (int channel = 0; channel < 3; channel++) row[4 * x + channel] = (sum[channel] + count / 2) / count;
      row[4 * x + 3] = 255;
    }
  }
  __atomic_add_fetch(&transforms, 1, __ATOMIC_SEQ_CST);
  return 0;
}

/* For the tests. */

/* A surface as a decoder has it, of pixels without padding. */
Surface *standin_source(uint32_t width, uint32_t height, uint32_t format, const uint8_t *pixels) {
  Surface *surface = make(width, height, format);
  surface->num_filled = 1;
  Planes *planes = &surface->list->planes;
  for (uint32_t plane = 0; plane < planes->num_planes; plane++) {
    size_t row = (size_t)planes->width[plane] * planes->bytes_per_pixel[plane];
    for (uint32_t y = 0; y < planes->height[plane]; y++, pixels += row)
      memcpy((char *)surface->list->data_ptr + planes->offset[plane] + (size_t)y * planes->pitch[plane], pixels, row);
  }
  return surface;
}

void standin_set_layout(Surface *surface, uint32_t layout) { surface->list->layout = layout; }
void standin_set_batch(Surface *surface, uint32_t batch) { surface->batch_size = batch; }
void standin_break(bool value) { broken = value; }
int standin_made(void) { return __atomic_load_n(&made, __ATOMIC_SEQ_CST); }
int standin_mapped(void) { return __atomic_load_n(&mapped, __ATOMIC_SEQ_CST); }
int standin_transforms(void) { return __atomic_load_n(&transforms, __ATOMIC_SEQ_CST); }
