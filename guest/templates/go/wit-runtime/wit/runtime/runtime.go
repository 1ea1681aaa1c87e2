// Package wit_runtime is the memory between host and policy.
//
// It stands in for the package of that path, which the bindings import: a policy needs only this much of it, and needs no
// network to be built.
package wit_runtime

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// Handle is a resource of the host's; zero once it was given away or back.
type Handle struct{ value int32 }

// MakeHandle wraps what the host gave.
func MakeHandle(value int32) *Handle { return &Handle{value} }

// Use is the handle, which stays ours.
func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("the resource was given back")
	}
	return h.value
}

// Take is the handle, which is ours no more.
func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

// TakeOrNil is the same, or zero.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

// Set wraps what the host gave.
func (h *Handle) Set(value int32) { h.value = value }

// Allocate is memory that stays where it is until the pinner lets go.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Words of eight bytes are aligned for everything.
	pointer := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(pointer)
	return pointer
}

var (
	started bool
	passed  runtime.Pinner
)

// An instance lives for one run. So nothing has to be collected, and a collection could begin while the host waits for
// memory, where it may ask the host nothing, not even the time.
func init() {
	debug.SetGCPercent(-1)
	started = true
}

// Unpin lets go of what the host passed in.
func Unpin() { passed.Unpin() }

// What the system's side of WASI keeps for itself, which it asks for before the runtime has started.
var early struct {
	words [24 << 10]uint64
	used  uintptr
}

// The host passes in what does not fit into registers.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if started {
		return Allocate(&passed, size, align)
	}
	pointer := unsafe.Pointer(&early.words[early.used])
	early.used += (size + 7) / 8
	return pointer
}
