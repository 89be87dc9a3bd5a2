// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A convolution as one product, a row for every place of the kernel; included by level.cpp.
//
// Rows are copied from the image, or are the image's own memory, rounded, where tiles of 16 places
// of a line can be loaded from it.
#pragma once

#include "panels.h"
#include "sqap_kernels.h"

namespace {

using sqap::ConvCall;

// Copy n floats; memcpy takes longer for few.
inline void copy_floats(const float* from, int64_t n, float* to) {
#if defined(__AVX512VNNI__)
  for (; n > 0; n -= kLanes, from += kLanes, to += kLanes)
    _mm512_mask_storeu_ps(to, lanes_of(n), _mm512_maskz_loadu_ps(lanes_of(n), from));
#else
  std::memcpy(to, from, n * sizeof(float));
#endif
}

// Write what the kernel sees at output place m to row [kernel, kernel, channels]; zeros outside.
// Of planar images [channels, kernel, kernel].
inline void seen_patch(const ConvCall& call, int64_t m, float* row) {
  const int64_t planes = call.planar ? call.channels : 1, depth = call.channels / planes;
  const int64_t column = m % call.out_width, line = m / call.out_width % call.out_height;
  const int64_t size = call.height * call.width * depth;
  const float* plane = call.x + m / (call.out_width * call.out_height) * planes * size;
  const int64_t left = column * call.stride - call.padding, span = call.kernel * depth;
  const int64_t from = left < 0 ? -left : 0, to = smaller(call.kernel, call.width - left);
  for (const float* end = plane + planes * size; plane < end; plane += size)
    for (int64_t i = 0; i < call.kernel; i++, row += span) {
      const int64_t y = line * call.stride - call.padding + i;
      const bool inside = y >= 0 && y < call.height;
      if (!inside || from > 0 || to < call.kernel) std::memset(row, 0, span * sizeof(float));
      if (inside)
        copy_floats(plane + (y * call.width + left + from) * depth, (to - from) * depth,
                    row + from * depth);
    }
}

#if defined(__AMX_INT8__)
// Rows of a product that are places of a padded image: [batch, height, width, pixel bytes].
struct ImageRows {
  const int8_t* image;
  int64_t width, height, pixel;  // of the padded image
  int64_t out_width, out_height, stride;
  const int64_t* offsets;  // of the tiles of a row, from its first pixel on
  int64_t pitch;

  const int8_t* at(int64_t row) const {
    const int64_t x = row % out_width, line = row / out_width;
    const int64_t y = line / out_height * height + line % out_height * stride;
    return image + (y * width + x * stride) * pixel;
  }
  int64_t offset(int64_t step) const { return offsets[step]; }
};

// Whether a call's places can be read in the image.
inline bool reads_image(const Layer& layer, const ConvCall& call) {
  return in_halves(layer) && !call.planar && call.channels % 32 == 0 &&
         call.out_width % kTileRows == 0;
}

// Memory for the padded image in bfloat16, and where in it tiles of rows lie.
ImageRows image_rows(const ConvCall& call) {
  const int64_t height = call.height + 2 * call.padding, width = call.width + 2 * call.padding;
  const int64_t pixel = call.channels * sizeof(uint16_t), tiles = pixel / kTileBytes;
  auto* offsets = scratch<int64_t, 19>(call.kernel * call.kernel * tiles);
  for (int64_t i = 0; i < call.kernel * call.kernel; i++)
    for (int64_t tile = 0; tile < tiles; tile++)
      offsets[i * tiles + tile] =
          (i / call.kernel * width + i % call.kernel) * pixel + tile * kTileBytes;
  return {scratch<int8_t, 3>(call.batch * height * width * pixel), width, height, pixel,
          call.out_width, call.out_height, call.stride, offsets, call.stride * pixel};
}

// Round an image to where its rows are read; inside a parallel region.
void make_image(const ConvCall& call, const ImageRows& rows) {
  const int64_t edge = call.padding * rows.pixel, line_bytes = rows.width * rows.pixel;
#pragma omp for nowait
  for (int64_t line = 0; line < call.batch * rows.height; line++) {
    const int64_t y = line % rows.height - call.padding;
    int8_t* to = const_cast<int8_t*>(rows.image) + line * line_bytes;
    if (y < 0 || y >= call.height) {
      std::memset(to, 0, line_bytes);
      continue;
    }
    std::memset(to, 0, edge);
    std::memset(to + line_bytes - edge, 0, edge);
    round_to_halves(call.x + (line / rows.height * call.height + y) * call.width * call.channels,
                    call.width * call.channels, reinterpret_cast<uint16_t*>(to + edge));
  }
  meet();
}
#endif

void conv(const Layer& layer, const ConvCall& call) {
  Call product = {};
  product.y = call.y;
  product.rows = product.length = call.batch * call.out_height * call.out_width;
  product.y_stride = layer.outputs;
  product.threads = call.threads;
  product.gelu = call.gelu;
  product.add = call.add;
  product.base = call.base;
  Meeting meeting;
#if defined(__AMX_INT8__)
  if (reads_image(layer, call)) {
    const ImageRows image = image_rows(call);
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
    {
      const Member member(meeting);
      make_image(call, image);
      share_panels(layer.outputs, product, [&](int64_t panel, int64_t first, int64_t last) {
        half_panel(layer, image, panel, first, last, ToFloats(layer, product));
      });
    }
    return;
  }
#endif
  const int64_t stride = round_up(layer.inputs, 64);
  const Rows rows = rows_memory(product.rows, stride, in_floats(layer));
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    const Member member(meeting);
    make_rows(layer, product, rows, 0.0f,
              [&](int64_t m, float* row) { seen_patch(call, m, row); });
    multiply_rows(layer, product, rows, stride);
  }
}

}  // namespace
