// View<T, Rank>: a borrowed, strided tensor. Pointer + shape + stride, the last axis contiguous.
// What every op in kernels/ takes and nothing else: ops never see owners, names or devices'
// allocators. View<T> converts to View<const T>, never back. C++20 and free of base/status.h, since
// .cu files include it.
//
// Threads: a value; the pointee's rules are the owner's.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#define NEXTGATE_HOST_DEVICE __host__ __device__
#else
#define NEXTGATE_HOST_DEVICE
#endif

namespace nextgate::kernels {

template <class T, int Rank>
struct View {
  static_assert(Rank >= 1, "a scalar is passed by value");

  T* data = nullptr;
  std::array<int64_t, Rank> shape{};   // elements
  std::array<int64_t, Rank> stride{};  // elements; stride[Rank - 1] == 1

  View() = default;

  // A dense row-major view.
  View(T* data_in, std::array<int64_t, Rank> shape_in) : data(data_in), shape(shape_in) {
    int64_t step = 1;
    for (int axis = Rank - 1; axis >= 0; --axis) {
      stride[axis] = step;
      step *= shape[axis];
    }
  }
  View(T* data_in, std::array<int64_t, Rank> shape_in, std::array<int64_t, Rank> stride_in)
      : data(data_in), shape(shape_in), stride(stride_in) {}

  // View<T> → View<const T>.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
      View(const View<U, Rank>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), shape(other.shape), stride(other.stride) {}

  // The address of element (i, j, …); fewer indices than Rank give the start of a row, plane, ….
  template <class... Index>
  NEXTGATE_HOST_DEVICE T* at(Index... index) const {
    static_assert(sizeof...(Index) <= Rank, "more indices than axes");
    const int64_t indices[] = {static_cast<int64_t>(index)..., 0};
    int64_t offset = 0;
    for (int axis = 0; axis < static_cast<int>(sizeof...(Index)); ++axis)
      offset += indices[axis] * stride[axis];
    return data + offset;
  }

  NEXTGATE_HOST_DEVICE int64_t size() const {
    int64_t count = 1;
    for (int axis = 0; axis < Rank; ++axis) count *= shape[axis];
    return count;
  }
  NEXTGATE_HOST_DEVICE bool empty() const { return size() == 0; }

  // Rows [begin, begin + count) of the first axis.
  View Rows(int64_t begin, int64_t count) const {
    View rows = *this;
    rows.data += begin * stride[0];
    rows.shape[0] = count;
    return rows;
  }
};

}  // namespace nextgate::kernels
