// SmallVector<T, N>: a list that holds up to N elements without an allocation, and any number with one.
//
// Trees and formulas have many nodes with two or three children and a few with a hundred thousand; a std::vector in
// each would cost an allocation a node. T must be trivially copyable. Elements move when the list grows, as in
// std::vector. A plain value; not synchronised.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <span>
#include <type_traits>

namespace weir {

template <typename T, std::uint32_t N>
class SmallVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() = default;
  SmallVector(std::initializer_list<T> list) { assign(list.begin(), list.size()); }
  explicit SmallVector(std::span<const T> list) { assign(list.data(), list.size()); }
  SmallVector(const SmallVector& other) { assign(other.data(), other.size()); }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) {
      clear();
      assign(other.data(), other.size());
    }
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~SmallVector() { release(); }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return capacity_ > N ? heap_ : inline_; }
  const T* data() const { return capacity_ > N ? heap_ : inline_; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  std::reverse_iterator<const T*> rbegin() const { return std::reverse_iterator<const T*>(end()); }
  std::reverse_iterator<const T*> rend() const { return std::reverse_iterator<const T*>(begin()); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T& front() { return data()[0]; }
  const T& front() const { return data()[0]; }
  T& back() { return data()[size_ - 1]; }
  const T& back() const { return data()[size_ - 1]; }

  void push_back(T value) {
    if (size_ == capacity_) reserve(capacity_ * 2);
    data()[size_++] = value;
  }
  void reserve(std::uint32_t capacity) {
    if (capacity <= capacity_) return;
    T* grown = new T[capacity];
    std::copy_n(data(), size_, grown);
    const std::uint32_t size = size_;
    release();
    heap_ = grown;
    capacity_ = capacity;
    size_ = size;
  }
  void clear() { size_ = 0; }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  void assign(const T* from, std::size_t size) {
    reserve(static_cast<std::uint32_t>(size));
    std::copy_n(from, size, data());
    size_ = static_cast<std::uint32_t>(size);
  }
  void take(SmallVector& other) {
    size_ = other.size_;
    capacity_ = other.capacity_;
    if (capacity_ > N) heap_ = other.heap_;
    else std::copy_n(other.inline_, size_, inline_);
    other.capacity_ = N;
    other.size_ = 0;
  }
  void release() {
    if (capacity_ > N) delete[] heap_;
    capacity_ = N;
    size_ = 0;
  }

  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = N;
  union {
    T inline_[N];
    T* heap_;
  };
};

}  // namespace weir
