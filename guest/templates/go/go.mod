module policy

go 1.25

require go.bytecodealliance.org/pkg v0.0.0

replace go.bytecodealliance.org/pkg => ./wit-runtime
