/* Loops of X3D's block in training on a CPU that torch's operators would run through memory many
 * more times: BatchNorm, ReLU, Swish, SE's product and the channel-wise 3x3x3 convolution, forward
 * and backward. expand3d/networks/ops/x3d_block.py calls them by ctypes and holds the mathematics.
 *
 * Tensors are float32, channels-last: clips x frames x height x width x channels. Threads share a
 * batch by clips, and sums are written per clip in double, so that results do not depend on how it
 * was shared. Short float sums go into them.
 *
 * The setuptools extension is optional: without a compiler plain torch computes the same.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <Python.h>

typedef float v8 __attribute__((vector_size(32)));
typedef int i8 __attribute__((vector_size(32)));

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))
#define API __attribute__((visibility("default")))

/* A loop over the clips [n0, n1): pointers to the tensors, and their sizes but for the clips. It
 * answers 1 where memory has run out. */
#define LOOP(name) CLONES API int name(void *const *p, long n0, long n1, const long *sizes)
typedef int loop(void *const *, long, long, const long *);

/* Rows whose float sums stay short before they are added to doubles. */
enum { ROWS = 64 };

INLINE v8 load_(const float *from, long count) {
  v8 x = {0};
  if (count >= 8) memcpy(&x, from, 32);
  else for (long i = 0; i < count; i++) x[i] = from[i];
  return x;
}

INLINE void store_(float *to, v8 x, long count) {
  if (count >= 8) memcpy(to, &x, 32);
  else for (long i = 0; i < count; i++) to[i] = x[i];
}

/* The first `count` numbers of x, the others 0. */
INLINE v8 head_(v8 x, long count) {
  for (long i = count; i < 8; i++) x[i] = 0;
  return x;
}

/* 0 where y <= 0, else x: where y is no number too, so that ReLU hides none. */
INLINE v8 where_(v8 x, v8 y) {
  const v8 zero = {0};
  return (v8)((i8)x & ~(i8)(y <= zero));
}

/* 1 / (1 + exp(-x)); the power of 2 times a polynomial of the rest, to about 2e-7 relative. What is no
 * number has no power of 2 and passes through the polynomial. */
INLINE v8 sigmoid_(v8 x) {
  v8 z = x * -1.44269504088896341f;
  i8 low = (i8)(z < -125.f), high = (i8)(z > 125.f);
  z = (v8)(((i8)z & ~(low | high)) | ((i8)(v8){-125, -125, -125, -125, -125, -125, -125, -125} & low) |
           ((i8)(v8){125, 125, 125, 125, 125, 125, 125, 125} & high));
  i8 k = __builtin_convertvector((v8)((i8)(z + 126.5f) & (i8)(z == z)), i8) - 126;
  v8 f = (z - __builtin_convertvector(k, v8)) * 0.69314718056f;
  v8 p = f * (1.f / 5040) + 1.f / 720;
  p = p * f + 1.f / 120;
  p = p * f + 1.f / 24;
  p = p * f + 1.f / 6;
  p = p * f + 0.5f;
  p = p * f + 1.f;
  p = p * f + 1.f;
  return 1.f / (1.f + (v8)((k + 127) << 23) * p);
}

/* Neighbouring rows are read as one of `wide` numbers, a multiple of 8, so that no vector is partly
 * filled whatever the number of channels. `reps` rows make one. */
INLINE long reps_(long channels) {
  long reps = 1;
  while (reps * channels % 8) reps *= 2;
  return reps;
}

INLINE void repeat_(float *to, const float *from, long channels, long reps) {
  for (long r = 0; r < reps; r++) memcpy(to + r * channels, from, channels * sizeof(float));
}

/* Adds the float sums of `reps` rows to doubles per channel, and clears them. */
INLINE void flush_(double *to, float *sums, long channels, long reps) {
  for (long r = 0; r < reps; r++)
    for (long c = 0; c < channels; c++) to[c] += sums[r * channels + c];
  memset(sums, 0, reps * channels * sizeof(float));
}

/* Room for so many numbers, aligned for vectors; NULL where memory has run out. Each loop takes what
 * it needs in one piece. */
INLINE float *buffer_(long numbers) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, numbers * sizeof(float)) ? NULL : memory;
}

/* Runs BODY for eight numbers after the other of a clip's rows, ROWS wide rows between two FLUSHes.
 * `i` is their place in the clip, `j` that in the parameters, `count` 8 or, at the end of a last
 * row that is not wide, less. */
#define PIECES(BODY, FLUSH)                                          \
  for (long i0 = 0, end = rows * channels; i0 < end;) {              \
    long left = end - i0, whole = left / wide;                       \
    if (whole > ROWS) whole = ROWS;                                  \
    if (whole) {                                                     \
      for (long at = i0; at < i0 + whole * wide; at += wide)         \
        for (long j = 0; j < wide; j += 8) {                         \
          const long i = at + j, count = 8;                          \
          BODY                                                       \
        }                                                            \
      i0 += whole * wide;                                            \
    } else {                                                         \
      for (long j = 0; j < left; j += 8) {                           \
        const long i = i0 + j, count = left - j < 8 ? left - j : 8;  \
        BODY                                                         \
      }                                                              \
      i0 = end;                                                      \
    }                                                                \
    FLUSH                                                            \
  }
#define AT(pointer) load_(pointer + i, count)
#define OF(pointer) load_(pointer + j, 8)

/* Sums and squares per clip and channel of x - origin. */
LOOP(moments) {
  const float *x_ = p[0], *origin = p[1];
  double *sum = p[2], *square = p[3];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(3 * wide);
  if (!room) return 1;
  float *restrict s = room, *restrict q = s + wide, *restrict o = q + wide;
  repeat_(o, origin, channels, reps);
  memset(s, 0, wide * sizeof(float));
  memset(q, 0, wide * sizeof(float));
  for (long n = n0; n < n1; n++) {
    const float *restrict x = x_ + n * rows * channels;
    PIECES({
      v8 v = AT(x) - OF(o);
      if (count < 8) v = head_(v, count);
      store_(s + j, OF(s) + v, 8);
      store_(q + j, OF(q) + v * v, 8);
    }, {
      flush_(sum + n * channels, s, channels, reps);
      flush_(square + n * channels, q, channels, reps);
    })
  }
  free(room);
  return 0;
}

/* out = relu(x * scale + shift + r); `r` may be missing. */
LOOP(norm_relu) {
  const float *x_ = p[0], *scale = p[1], *shift = p[2], *r_ = p[3];
  float *out_ = p[4];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(2 * wide);
  if (!room) return 1;
  float *restrict a = room, *restrict b = a + wide;
  repeat_(a, scale, channels, reps);
  repeat_(b, shift, channels, reps);
  for (long n = n0; n < n1; n++) {
    const float *restrict x = x_ + n * rows * channels;
    const float *restrict r = r_ + (r_ ? n * rows * channels : 0);
    float *restrict out = out_ + n * rows * channels;
    if (r_)
      PIECES({
        v8 v = AT(x) * OF(a) + OF(b) + AT(r);
        store_(out + i, where_(v, v), count);
      }, {})
    else
      PIECES({
        v8 v = AT(x) * OF(a) + OF(b);
        store_(out + i, where_(v, v), count);
      }, {})
  }
  free(room);
  return 0;
}

/* masked = 0 where out <= 0, else grad; per clip and channel its sum, and that of
 * masked * (x - mean). */
LOOP(relu_backward) {
  const float *grad_ = p[0], *out_ = p[1], *x_ = p[2], *mean = p[3];
  float *masked_ = p[4];
  double *sum = p[5], *product = p[6];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(3 * wide);
  if (!room) return 1;
  float *restrict s = room, *restrict q = s + wide, *restrict m = q + wide;
  repeat_(m, mean, channels, reps);
  memset(s, 0, wide * sizeof(float));
  memset(q, 0, wide * sizeof(float));
  for (long n = n0; n < n1; n++) {
    long at_clip = n * rows * channels;
    const float *restrict g = grad_ + at_clip, *restrict o = out_ + at_clip;
    const float *restrict x = x_ + at_clip;
    float *restrict to = masked_ + at_clip;
    PIECES({
      v8 v = where_(AT(g), AT(o));
      store_(to + i, v, count);
      store_(s + j, OF(s) + v, 8);
      store_(q + j, OF(q) + v * (AT(x) - OF(m)), 8);
    }, {
      flush_(sum + n * channels, s, channels, reps);
      flush_(product + n * channels, q, channels, reps);
    })
  }
  free(room);
  return 0;
}

/* out = c1 * g + c2 * (x - mean) + c3, what BatchNorm's backward pass comes to; out may be g. */
LOOP(norm_backward) {
  const float *g_ = p[0], *x_ = p[1], *mean = p[2], *c1 = p[3], *c2 = p[4], *c3 = p[5];
  float *out_ = p[6];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(4 * wide);
  if (!room) return 1;
  float *restrict m = room, *restrict a = m + wide;
  float *restrict b = a + wide, *restrict c = b + wide;
  repeat_(m, mean, channels, reps);
  repeat_(a, c1, channels, reps);
  repeat_(b, c2, channels, reps);
  repeat_(c, c3, channels, reps);
  for (long n = n0; n < n1; n++) {
    const float *g = g_ + n * rows * channels;
    const float *restrict x = x_ + n * rows * channels;
    float *out = out_ + n * rows * channels;
    PIECES({
      v8 v = OF(a) * AT(g) + OF(b) * (AT(x) - OF(m)) + OF(c);
      store_(out + i, v, count);
    }, {})
  }
  free(room);
  return 0;
}

/* s = swish(u), u = x * scale + shift with a scale and shift per clip (SE's gate is in them); s may
 * be x. */
LOOP(norm_swish) {
  const float *x_ = p[0], *scale = p[1], *shift = p[2];
  float *s_ = p[3];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(2 * wide);
  if (!room) return 1;
  float *restrict a = room, *restrict b = a + wide;
  for (long n = n0; n < n1; n++) {
    const float *x = x_ + n * rows * channels;
    float *s = s_ + n * rows * channels;
    repeat_(a, scale + n * channels, channels, reps);
    repeat_(b, shift + n * channels, channels, reps);
    PIECES({
      v8 u = AT(x) * OF(a) + OF(b);
      store_(s + i, u * sigmoid_(u), count);
    }, {})
  }
  free(room);
  return 0;
}

/* `grad` of s becomes that of u, in place; s is computed again; sums per clip and channel of the
 * gradient of u and of its product with x - mean. */
LOOP(norm_swish_backward) {
  const float *x_ = p[0], *scale = p[1], *shift = p[2], *mean = p[3];
  float *grad_ = p[4], *s_ = p[5];
  double *sum = p[6], *product = p[7];
  long rows = sizes[0], channels = sizes[1];
  long reps = reps_(channels), wide = reps * channels;
  float *room = buffer_(5 * wide);
  if (!room) return 1;
  float *restrict a = room, *restrict b = a + wide, *restrict m = b + wide;
  float *restrict s1 = m + wide, *restrict s2 = s1 + wide;
  repeat_(m, mean, channels, reps);
  memset(s1, 0, wide * sizeof(float));
  memset(s2, 0, wide * sizeof(float));
  for (long n = n0; n < n1; n++) {
    const float *restrict x = x_ + n * rows * channels;
    float *restrict g = grad_ + n * rows * channels, *restrict s = s_ + n * rows * channels;
    repeat_(a, scale + n * channels, channels, reps);
    repeat_(b, shift + n * channels, channels, reps);
    PIECES({
      v8 u = AT(x) * OF(a) + OF(b);
      v8 sigma = sigmoid_(u);
      v8 v = AT(g) * (sigma * (1.f + u * (1.f - sigma)));
      store_(s + i, u * sigma, count);
      store_(g + i, v, count);
      store_(s1 + j, OF(s1) + v, 8);
      store_(s2 + j, OF(s2) + v * (AT(x) - OF(m)), 8);
    }, {
      flush_(sum + n * channels, s1, channels, reps);
      flush_(product + n * channels, s2, channels, reps);
    })
  }
  free(room);
  return 0;
}

/* Three frames in blocks of eight channels, each with a border of zeros: per frame
 * blocks x (height + 2) x (width + 2) vectors, frame t in place t % 3. Tensors are read and written
 * row by row with all their channels, as memory likes it; the loops over places run within a
 * block. */
typedef struct {
  long channels, blocks, height, width, plane, size;
  v8 *memory;
} ring;

/* A ring without memory, which takes 3 * size vectors, cleared. */
INLINE ring ring_(long channels, long height, long width) {
  ring r = {channels, (channels + 7) / 8, height, width, (height + 2) * (width + 2), 0, NULL};
  r.size = r.blocks * r.plane;
  return r;
}

/* Row `h`, counted with the border, of a block of frame `t`. */
INLINE v8 *row_(const ring *r, long t, long block, long h) {
  return r->memory + (t % 3) * r->size + block * r->plane + h * (r->width + 2);
}

/* The first channel of a block of eight. The last block ends with the last channel and so may share
 * some with the one before: both compute the same for these, and no vector is partly filled. */
INLINE long first_(long block, long channels) {
  return 8 * block + 8 <= channels || channels < 8 ? 8 * block : channels - 8;
}

/* Numbers per channel in blocks. */
INLINE void blocks_(v8 *to, const float *numbers, long channels) {
  for (long b = 0; b < (channels + 7) / 8; b++) {
    long c = first_(b, channels);
    to[b] = load_(numbers + c, channels - c);
  }
}

/* Adds a block's numbers to doubles per channel, those that it shares only once. */
INLINE void add_(double *to, v8 x, long block, long channels) {
  for (long c = 8 * block, first = first_(block, channels); c < channels && c < first + 8; c++)
    to[c] += x[c - first];
}

/* Adds vectors per block to doubles per channel, and clears them. */
INLINE void add_all_(double *to, v8 *x, long channels) {
  for (long b = 0; b < (channels + 7) / 8; b++) {
    add_(to, x[b], b, channels);
    memset(x + b, 0, sizeof(v8));
  }
}

/* Frame `t` into the ring: relu(x * scale + shift). */
INLINE void fill_relu_(const ring *r, long t, const float *x, const v8 *restrict scale,
                       const v8 *restrict shift) {
  for (long h = 0; h < r->height; h++) {
    v8 *restrict to = row_(r, t, 0, h + 1) + 1;
    for (long w = 0; w < r->width; w++, x += r->channels)
      for (long b = 0; b < r->blocks; b++) {
        long c = first_(b, r->channels);
        v8 v = load_(x + c, r->channels - c) * scale[b] + shift[b];
        to[b * r->plane + w] = where_(v, v);
      }
  }
}

/* Frame `t` into the ring: c1 * g + c2 * (x - mean) + c3. */
INLINE void fill_grad_(const ring *r, long t, const float *g, const float *x,
                       const v8 *restrict mean, const v8 *restrict c1, const v8 *restrict c2,
                       const v8 *restrict c3) {
  for (long h = 0; h < r->height; h++) {
    v8 *restrict to = row_(r, t, 0, h + 1) + 1;
    for (long w = 0; w < r->width; w++, x += r->channels, g += r->channels)
      for (long b = 0; b < r->blocks; b++) {
        long c = first_(b, r->channels), left = r->channels - c;
        v8 centred = load_(x + c, left) - mean[b];
        to[b * r->plane + w] = c1[b] * load_(g + c, left) + c2[b] * centred + c3[b];
      }
  }
}

/* Nine weights of a frame, and the three rows of a ring that they meet from a row on. */
#define NINE(w)                                                            \
  v8 w00 = (w)[0], w01 = (w)[1], w02 = (w)[2], w10 = (w)[3], w11 = (w)[4]; \
  v8 w12 = (w)[5], w20 = (w)[6], w21 = (w)[7], w22 = (w)[8];
#define THREE(row, width)                                                  \
  const v8 *restrict r0 = row, *restrict r1 = r0 + (width) + 2;            \
  const v8 *restrict r2 = r1 + (width) + 2;

/* b = channel-wise 3x3x3 convolution of relu(a * scale + shift), padded, stride (1, s, s); sums and
 * squares of b per clip and channel. The weight is 3 x 3 x 3 x channels. */
LOOP(channelwise) {
  const float *a = p[0], *scale = p[1], *shift = p[2], *weight = p[3];
  float *out = p[4];
  double *sum = p[5], *square = p[6];
  long frames = sizes[0], height = sizes[1], width = sizes[2], channels = sizes[3], stride = sizes[4];
  ring z = ring_(channels, height, width);
  long high = (height - 1) / stride + 1, broad = (width - 1) / stride + 1;
  long blocks = z.blocks, size = height * width * channels;
  long room = 3 * z.size + (27 + 4 + broad) * blocks;
  z.memory = (v8 *)buffer_(8 * room);
  if (!z.memory) return 1;
  memset(z.memory, 0, room * sizeof(v8));
  v8 *taps = z.memory + 3 * z.size, *total = taps + 27 * blocks, *squares = total + blocks;
  v8 *slope = squares + blocks, *offset = slope + blocks, *acc = offset + blocks;
  blocks_(slope, scale, channels), blocks_(offset, shift, channels);
  for (long b = 0; b < blocks; b++)
    for (long k = 0, c = first_(b, channels); k < 27; k++)
      taps[27 * b + k] = load_(weight + k * channels + c, channels - c);
  for (long n = n0; n < n1; n++)
    for (long t = 0; t < frames; t++) {
      for (long f = t ? t + 1 : 0; f <= t + 1 && f < frames; f++)
        fill_relu_(&z, f, a + (n * frames + f) * size, slope, offset);
      long first = t ? 0 : 1, last = t + 1 < frames ? 2 : 1;
      float *to = out + (n * frames + t) * high * broad * channels;
      for (long h = 0; h < high; h++) {
        for (long b = 0; b < blocks; b++) {
          v8 *restrict row = acc + b * broad;
          for (long kt = first; kt <= last; kt++) {
            NINE(taps + 27 * b + 9 * kt)
            THREE(row_(&z, t + kt + 2, b, h * stride), width)
            for (long x = 0, i = 0; x < broad; x++, i += stride) {
              v8 v = w00 * r0[i] + w01 * r0[i + 1] + w02 * r0[i + 2];
              v8 u = w10 * r1[i] + w11 * r1[i + 1] + w12 * r1[i + 2];
              v8 y = w20 * r2[i] + w21 * r2[i + 1] + w22 * r2[i + 2];
              v += u + y;
              row[x] = kt == first ? v : row[x] + v;
            }
          }
        }
        for (long x = 0; x < broad; x++, to += channels)
          for (long b = 0; b < blocks; b++) {
            long c = first_(b, channels);
            v8 v = acc[b * broad + x];
            total[b] += v;
            squares[b] += v * v;
            store_(to + c, v, channels - c);
          }
        if (h % 8 == 7 || h + 1 == high) {
          add_all_(sum + n * channels, total, channels);
          add_all_(square + n * channels, squares, channels);
        }
      }
    }
  free(z.memory);
  return 0;
}

/* The gradients of `channelwise` and of the normalisations around it.
 *
 * The gradient of b is c1 * grad + c2 * (b - mean_b) + c3, c1 and c3 per clip. `masked` receives
 * that of a * scale + shift before ReLU; per clip and channel its sum and that of its product with
 * a - mean; grad_weight is clips x 27 x channels. */
LOOP(channelwise_backward) {
  const float *a = p[0], *scale = p[1], *shift = p[2], *mean = p[3], *b_ = p[4], *mean_b = p[5],
      *grad = p[6], *c1 = p[7], *c2 = p[8], *c3 = p[9], *weight = p[10];
  float *masked = p[11];
  double *sum = p[12], *product = p[13], *grad_weight = p[14];
  long frames = sizes[0], height = sizes[1], width = sizes[2], channels = sizes[3], stride = sizes[4];
  long high = (height - 1) / stride + 1, broad = (width - 1) / stride + 1;
  long size = height * width * channels, size_b = high * broad * channels;
  ring z = ring_(channels, height, width), g = ring_(channels, high, broad);
  long blocks = z.blocks, wide = width + 1;
  long room = 3 * (z.size + g.size) + (27 + 9 + wide) * blocks;
  z.memory = (v8 *)buffer_(8 * room);
  if (!z.memory) return 1;
  memset(z.memory, 0, room * sizeof(v8));
  g.memory = z.memory + 3 * z.size;
  v8 *taps = g.memory + 3 * g.size, *total = taps + 27 * blocks, *products = total + blocks;
  v8 *slope = products + blocks, *offset = slope + blocks, *m = offset + blocks;
  v8 *m_b = m + blocks, *k1 = m_b + blocks, *k2 = k1 + blocks, *k3 = k2 + blocks;
  v8 *acc = k3 + blocks;
  blocks_(slope, scale, channels), blocks_(offset, shift, channels);
  blocks_(m, mean, channels), blocks_(m_b, mean_b, channels), blocks_(k2, c2, channels);
  for (long b = 0; b < blocks; b++)
    for (long k = 0, c = first_(b, channels); k < 27; k++)
      taps[27 * b + k] = load_(weight + k * channels + c, channels - c);
  for (long n = n0; n < n1; n++) {
    blocks_(k1, c1 + n * channels, channels), blocks_(k3, c3 + n * channels, channels);
    for (long t = 0; t < frames; t++) {
      for (long f = t ? t + 1 : 0; f <= t + 1 && f < frames; f++) {
        fill_relu_(&z, f, a + (n * frames + f) * size, slope, offset);
        long at = (n * frames + f) * size_b;
        fill_grad_(&g, f, grad + at, b_ + at, m_b, k1, k2, k3);
      }
      long before = t ? 0 : 1, after = t + 1 < frames ? 2 : 1;

      /* Of the weight: output frame t with input frame t + kt - 1. */
      for (long b = 0; b < blocks; b++)
        for (long kt = before; kt <= after; kt++) {
          v8 sums[9] = {{0}};
          for (long h = 0; h < high;) {
            v8 s00 = {0}, s01 = {0}, s02 = {0}, s10 = {0}, s11 = {0}, s12 = {0};
            v8 s20 = {0}, s21 = {0}, s22 = {0};
            for (long most = h + 1 + ROWS / broad; h < high && h < most; h++) {
              const v8 *restrict from = row_(&g, t, b, h + 1) + 1;
              THREE(row_(&z, t + kt + 2, b, h * stride), width)
              for (long x = 0, i = 0; x < broad; x++, i += stride) {
                v8 v = from[x];
                s00 += v * r0[i], s01 += v * r0[i + 1], s02 += v * r0[i + 2];
                s10 += v * r1[i], s11 += v * r1[i + 1], s12 += v * r1[i + 2];
                s20 += v * r2[i], s21 += v * r2[i + 1], s22 += v * r2[i + 2];
              }
            }
            sums[0] += s00, sums[1] += s01, sums[2] += s02;
            sums[3] += s10, sums[4] += s11, sums[5] += s12;
            sums[6] += s20, sums[7] += s21, sums[8] += s22;
          }
          double *to = grad_weight + (n * 27 + kt * 9) * channels;
          for (long k = 0; k < 9; k++) add_(to + k * channels, sums[k], b, channels);
        }

      /* Of the input: input frame t with output frame t + 1 - kt. */
      long at = (n * frames + t) * size;
      for (long h = 0; h < height; h++) {
        for (long b = 0; b < blocks; b++) {
          v8 *restrict row = acc + b * wide;
          memset(row, 0, wide * sizeof(v8));
          for (long kt = 2 - after; kt <= 2 - before; kt++) {
            const v8 *w = taps + 27 * b + 9 * kt;
            if (stride == 1) { /* tap kh reads row h + 1 - kh */
              NINE(w)
              THREE(row_(&g, t + 4 - kt, b, h), broad)
              for (long x = 0; x < width; x++) {
                v8 v = w22 * r0[x] + w21 * r0[x + 1] + w20 * r0[x + 2];
                v8 u = w12 * r1[x] + w11 * r1[x + 1] + w10 * r1[x + 2];
                v8 y = w02 * r2[x] + w01 * r2[x + 1] + w00 * r2[x + 2];
                row[x] += v + u + y;
              }
            } else { /* 2: padded input place 2 * o + k is reached from output o by tap k */
              for (long kh = (h + 1) % 2; kh < 3; kh += 2) {
                v8 w0 = w[3 * kh], w1 = w[3 * kh + 1], w2 = w[3 * kh + 2];
                const v8 *restrict r = row_(&g, t + 4 - kt, b, (h + 1 - kh) / 2 + 1) + 1;
                for (long o = 0; 2 * o < width; o++) {
                  row[2 * o] += w1 * r[o];
                  row[2 * o + 1] += w2 * r[o] + w0 * r[o + 1];
                }
              }
            }
          }
        }
        const v8 *seen = row_(&z, t, 0, h + 1) + 1;
        for (long x = 0; x < width; x++, at += channels)
          for (long b = 0; b < blocks; b++) {
            long c = first_(b, channels), left = channels - c;
            v8 v = where_(acc[b * wide + x], seen[b * z.plane + x]);
            total[b] += v;
            products[b] += v * (load_(a + at + c, left) - m[b]);
            store_(masked + at + c, v, left);
          }
        if (h % 8 == 7 || h + 1 == height) {
          add_all_(sum + n * channels, total, channels);
          add_all_(product + n * channels, products, channels);
        }
      }
    }
  }
  free(z.memory);
  return 0;
}

/* The channel-wise convolution over time alone, padded: out[t] = sum of weight[k] * x[t + k - half],
 * with `taps` x channels weights, taps = 2 * half + 1. */
LOOP(temporal) {
  const float *x_ = p[0], *weight = p[1];
  float *out_ = p[2];
  long frames = sizes[0], places = sizes[1], channels = sizes[2], taps = sizes[3];
  long reps = reps_(channels), wide = reps * channels, size = places * channels, half = taps / 2;
  float *w = buffer_(taps * wide);
  if (!w) return 1;
  for (long k = 0; k < taps; k++) repeat_(w + k * wide, weight + k * channels, channels, reps);
  /* A strip of all frames stays in the cache while every frame of the output reads it. */
  long strip = reps * ROWS * channels;
  for (long n = n0; n < n1; n++)
    for (long i0 = 0; i0 < size; i0 += strip)
      for (long t = 0; t < frames; t++) {
        long first = t < half ? half - t : 0;
        long last = frames - t + half < taps ? frames - t + half : taps;
        long end = i0 + strip < size ? i0 + strip : size;
        float *restrict out = out_ + (n * frames + t) * size;
        const float *restrict x = x_ + (n * frames + t) * size;
        for (long at = i0; at < end; at += wide)
          for (long j = 0; j < wide && at + j < end; j += 8) {
            const long i = at + j, count = end - i < 8 ? end - i : 8;
            v8 v = {0};
            for (long k = first; k < last; k++) v += OF((w + k * wide)) * AT((x + (k - half) * size));
            store_(out + i, v, count);
          }
      }
  free(w);
  return 0;
}

/* The gradients of `temporal`: of x, and clips x taps x channels of the weight. */
LOOP(temporal_backward) {
  const float *x_ = p[0], *weight = p[1], *grad_ = p[2];
  float *grad_x = p[3];
  double *grad_weight = p[4];
  long frames = sizes[0], places = sizes[1], channels = sizes[2], taps = sizes[3];
  long reps = reps_(channels), wide = reps * channels, size = places * channels, half = taps / 2;
  float *room = buffer_(2 * taps * wide);
  if (!room) return 1;
  float *w = room, *sums = w + taps * wide;
  for (long k = 0; k < taps; k++) repeat_(w + k * wide, weight + k * channels, channels, reps);
  memset(sums, 0, taps * wide * sizeof(float));
  long strip = reps * ROWS * channels;
  for (long n = n0; n < n1; n++)
    for (long i0 = 0; i0 < size; i0 += strip)
      for (long t = 0; t < frames; t++) {
        /* Input frame t met output frame t + half - k by tap k. */
        long first = t + half < frames ? 0 : t + half - frames + 1;
        long last = t + half + 1 < taps ? t + half + 1 : taps;
        long end = i0 + strip < size ? i0 + strip : size;
        float *restrict to = grad_x + (n * frames + t) * size;
        const float *restrict x = x_ + (n * frames + t) * size;
        const float *restrict g = grad_ + (n * frames + t) * size;
        for (long at = i0; at < end; at += wide)
          for (long j = 0; j < wide && at + j < end; j += 8) {
            const long i = at + j, count = end - i < 8 ? end - i : 8;
            v8 v = {0}, seen = AT(x);
            for (long k = first; k < last; k++) {
              float *restrict s = sums + k * wide;
              v8 from = AT((g + (half - k) * size));
              v += OF((w + k * wide)) * from;
              store_(s + j, OF(s) + seen * from, 8);
            }
            store_(to + i, v, count);
          }
        for (long k = first; k < last; k++)
          flush_(grad_weight + (n * taps + k) * channels, sums + k * wide, channels, reps);
      }
  free(room);
  return 0;
}

/* BatchNorm in eval mode as x * scale + shift, from its weight, bias, mean, variance and epsilon. */
INLINE void running_(void *const *norm, float *scale, float *shift, long channels) {
  const float *weight = norm[0], *bias = norm[1], *mean = norm[2], *var = norm[3], *eps = norm[4];
  for (long c = 0; c < channels; c++) {
    scale[c] = weight[c] / __builtin_sqrtf(var[c] + *eps);
    shift[c] = bias[c] - mean[c] * scale[c];
  }
}

/* `norm_relu` with a BatchNorm's five numbers per channel in place of scale and shift. */
LOOP(infer_relu) {
  long channels = sizes[1];
  float *scale = buffer_(2 * channels);
  if (!scale) return 1;
  float *shift = scale + channels;
  running_(p + 1, scale, shift, channels);
  void *passed[] = {p[0], scale, shift, p[6], p[7]};
  int failed = norm_relu(passed, n0, n1, sizes);
  free(scale);
  return failed;
}

/* In eval mode, what stands between a block's 1x1x1 convolutions: BatchNorm, ReLU, the channel-wise
 * convolution, BatchNorm, SE's gate unless it is NULL, Swish. */
LOOP(infer) {
  const float *x = p[0], *kernel = p[6], *squeeze = p[12], *squeeze_bias = p[13];
  const float *excite = p[14], *excite_bias = p[15];
  float *out = p[16];
  long frames = sizes[0], height = sizes[1], width = sizes[2], channels = sizes[3];
  long stride = sizes[4], hidden = sizes[5];
  long places = frames * ((height - 1) / stride + 1) * ((width - 1) / stride + 1);
  long in = frames * height * width * channels, rows[] = {places, channels};
  float *room = buffer_((4 + 27 + 5) * channels + hidden);
  if (!room) return 1;
  double *sum = (double *)room, *square = sum + channels;
  float *taps = room + 4 * channels, *scale = taps + 27 * channels, *shift = scale + channels;
  float *after = shift + channels, *offset = after + channels;
  float *pooled = offset + channels, *opened = pooled + channels;
  running_(p + 1, scale, shift, channels);
  for (long c = 0; c < channels; c++)
    for (long k = 0; k < 27; k++) taps[k * channels + c] = kernel[27 * c + k];
  int failed = 0;
  for (long n = n0; n < n1 && !failed; n++) {
    float *y = out + n * places * channels;
    void *convolved[] = {(void *)(x + n * in), scale, shift, taps, y, sum, square};
    memset(sum, 0, 2 * channels * sizeof(double));
    failed = channelwise(convolved, 0, 1, sizes);
    running_(p + 7, after, offset, channels);
    if (squeeze) {
      for (long c = 0; c < channels; c++) pooled[c] = after[c] * (sum[c] / places) + offset[c];
      for (long h = 0; h < hidden; h++) {
        float v = squeeze_bias[h];
        for (long c = 0; c < channels; c++) v += squeeze[h * channels + c] * pooled[c];
        opened[h] = v <= 0 ? 0 : v;
      }
      for (long c = 0; c < channels; c++) {
        v8 v = {excite_bias[c]};
        for (long h = 0; h < hidden; h++) v[0] += excite[c * hidden + h] * opened[h];
        float factor = sigmoid_(v)[0];
        after[c] *= factor, offset[c] *= factor;
      }
    }
    void *swished[] = {y, after, offset, y};
    failed = failed || norm_swish(swished, 0, 1, rows);
  }
  free(room);
  return failed;
}

/* A batch that threads share, part by part. */
typedef struct {
  loop *run;
  void *const *p;
  const long *sizes;
  long clips, parts, next;
  int failed;
} job;

static void work_(void *data) {
  job *j = data;
  for (long i; (i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->parts;)
    if (j->run(j->p, i * j->clips / j->parts, (i + 1) * j->clips / j->parts, j->sizes))
      __atomic_store_n(&j->failed, 1, __ATOMIC_RELAXED);
}

static void *thread_(void *data) {
  work_(data);
  return NULL;
}

/* OpenMP's entry point as GCC calls it: run a function in so many threads, the caller among them. */
typedef void parallel(void (*)(void *), void *, unsigned, unsigned);

/* `run` over a batch, in `threads` threads of `openmp`; where that is NULL, in new ones. After their
 * work OpenMP's threads spin for a while, waiting for more: others would have to compete with them. */
API int share(loop *run, void *const *p, const long *sizes, long clips, long threads,
              parallel *openmp) {
  if (threads > clips) threads = clips;
  if (threads < 2) return run(p, 0, clips, sizes);
  job j = {run, p, sizes, clips, clips < 4 * threads ? clips : 4 * threads, 0, 0};
  if (openmp) {
    openmp(work_, &j, threads, 0);
    return j.failed;
  }
  pthread_t *others = malloc((threads - 1) * sizeof(pthread_t));
  long begun = 0;
  while (others && begun < threads - 1 && !pthread_create(others + begun, NULL, thread_, &j)) begun++;
  work_(&j);
  for (long i = 0; i < begun; i++) pthread_join(others[i], NULL);
  free(others);
  return j.failed;
}

/* Python finds the library as an extension module; it is used by ctypes. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
