package conformance

import "runtime"

// twoABIs says that the processor has system call ABIs beside the native one.
const twoABIs = runtime.GOARCH == "amd64"
