package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/internal/guest"
	"github.com/ringwall/ringwall/internal/sandbox"
)

// protocol is the version of what keepers and those who attach say to each other. A
// keeper lives on when ringwall is replaced by a newer one.
const protocol = 1

// maxFrame bounds a frame in bytes: arguments and environment of a program, or what is
// hidden in a large project.
const maxFrame = 64 << 20

// The frames, each with JSON. While a sandbox is made:
//
//	creator                     keeper
//	kindCreate  creation   →
//	                       ←    kindCall    call      layers, hide, own, hold, trace
//	kindReturn  value      →
//	                       ←    kindReady             or kindFailed
//	kindKeep               →                          from here on it lives by itself
//
// Then, for whoever connects:
//
//	client                      keeper
//	                       ←    kindHello   hello
//	kindStart   start      →                          with descriptors
//	                       ←    kindStarted           or kindFailed
//	                       ←    kindExited  exit
//	kindSignal  signal     →
//	kindAsk                →
//	                       ←    kindAnswer  answer
//	kindDestroy            →
//	                       ←    kindAnswer  answer    and then the end
const (
	kindCreate guest.Kind = iota + 1
	kindCall
	kindReturn
	kindReady
	kindKeep
	kindHello
	kindStart
	kindStarted
	kindExited
	kindFailed
	kindSignal
	kindAsk
	kindAnswer
	kindDestroy
)

// creation asks a keeper to make a sandbox.
type creation struct {
	Protocol int             `json:"protocol"`
	Backend  string          `json:"backend"`
	Config   json.RawMessage `json:"config"`
	Spec     sandbox.Spec    `json:"spec"`
	Calls    []string        `json:"calls"` // those that Spec has functions for
}

// The functions of a Spec that stay with the creator.
const (
	callLayers = "layers"
	callHide   = "hide"
	callOwn    = "own"
	callHold   = "hold" // its answer comes with descriptors
	callTrace  = "trace"
)

type call struct {
	Name     string           `json:"name"`
	Resource sandbox.Resource `json:"resource,omitzero"`
	Step     sandbox.Step     `json:"step,omitzero"`
}

type value struct {
	Error *wireError `json:"error,omitempty"`
	Hide  []string   `json:"hide,omitempty"`
}

type hello struct {
	Protocol int    `json:"protocol"`
	ID       string `json:"id"`
	Backend  string `json:"backend"`
}

// start is a sandbox.Cmd. ID is the client's and goes into every frame about it.
type start struct {
	ID   int      `json:"id"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	Has  [3]bool  `json:"has"` // standard descriptors that are attached, in order
}

type signal struct {
	ID     int `json:"id"`
	Signal int `json:"signal"`
}

// about is the part that frames about a program have in common.
type about struct {
	ID    int          `json:"id"`
	Exit  sandbox.Exit `json:"exit,omitzero"`
	Error *wireError   `json:"error,omitempty"`
}

// answer is what there is to know of the whole sandbox.
type answer struct {
	ID         int              `json:"id"`
	Error      *wireError       `json:"error,omitempty"`
	Denied     []sandbox.Denial `json:"denied"`
	Stats      sandbox.Stats    `json:"stats"`
	StatsError *wireError       `json:"stats_error,omitempty"`
}

// wireError is a sandbox.Error whose cause is only its text.
type wireError struct {
	Code    sandbox.Code `json:"code"`
	Op      string       `json:"op,omitempty"`
	Backend string       `json:"backend,omitempty"`
	ID      string       `json:"id,omitempty"`
	Step    string       `json:"step,omitempty"`
	Hint    string       `json:"hint,omitempty"`
	Text    string       `json:"text"`
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Code: sandbox.CodeOf(err), Hint: sandbox.HintOf(err), Text: err.Error()}
	var e *sandbox.Error
	if errors.As(err, &e) && e == err {
		w.Op, w.Backend, w.ID, w.Step, w.Text = e.Op, e.Backend, e.ID, e.Step, e.Err.Error()
	}
	return w
}

func (w *wireError) err() error {
	if w == nil {
		return nil
	}
	return &sandbox.Error{Code: w.Code, Op: w.Op, Backend: w.Backend, ID: w.ID, Step: w.Step, Hint: w.Hint, Err: errors.New(w.Text)}
}

// errSpeech is an answer that does not fit.
var errSpeech = errors.New("the keeper and this ringwall do not understand each other")

func decode(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %w", errSpeech, err)
	}
	return nil
}

// send sends v as a frame.
func send(c *guest.Conn, k guest.Kind, v any, fds ...int) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(payload) > maxFrame {
		return fmt.Errorf("%d bytes for a keeper: at most %d", len(payload), maxFrame)
	}
	return c.Send(k, payload, fds...)
}

// grace is how long a keeper that was told to end may take until it is killed.
const grace = 10 * time.Second
