// Package wit_types has the types that the bindings speak in: what Go has no word for.
package wit_types

// The tags of an Option.
const (
	OptionNone = 0
	OptionSome = 1
)

// Option is a value, or none.
type Option[T any] struct {
	is    uint8
	value T
}

// Some is an option with a value.
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

// None is an option without.
func None[T any]() Option[T] { return Option[T]{} }

// Tag tells which of the two it is.
func (o Option[T]) Tag() uint8 { return o.is }

// IsSome tells whether there is a value.
func (o Option[T]) IsSome() bool { return o.is == OptionSome }

// IsNone tells whether there is none.
func (o Option[T]) IsNone() bool { return o.is == OptionNone }

// Some is the value; it panics if there is none.
func (o Option[T]) Some() T {
	if o.is != OptionSome {
		panic("there is no value")
	}
	return o.value
}

// SomeOr is the value, or another one if there is none.
func (o Option[T]) SomeOr(otherwise T) T {
	if o.is == OptionSome {
		return o.value
	}
	return otherwise
}

// The tags of a Result.
const (
	ResultOk  = 0
	ResultErr = 1
)

// Result is what a call answers, or why it does not.
type Result[T, E any] struct {
	is    uint8
	value T
	err   E
}

// Ok is an answer.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{is: ResultOk, value: value} }

// Err is the lack of one.
func Err[T, E any](err E) Result[T, E] { return Result[T, E]{is: ResultErr, err: err} }

// Tag tells which of the two it is.
func (r Result[T, E]) Tag() uint8 { return r.is }

// IsOk tells whether there is an answer.
func (r Result[T, E]) IsOk() bool { return r.is == ResultOk }

// IsErr tells whether there is none.
func (r Result[T, E]) IsErr() bool { return r.is == ResultErr }

// Ok is the answer; it panics if there is none.
func (r Result[T, E]) Ok() T {
	if r.is != ResultOk {
		panic("there is no answer")
	}
	return r.value
}

// Err is why there is none; it panics if there is one.
func (r Result[T, E]) Err() E {
	if r.is != ResultErr {
		panic("there is no error")
	}
	return r.err
}

// Tuple2 is a pair.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// Unit is nothing.
type Unit struct{}
