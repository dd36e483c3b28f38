// Package telemetry is what NovaCron's daemons send and read: events with every trap
// that real Go code lays, and what each one means, in the contract's terms.
package telemetry

import (
	"fmt"
	"strings"
	"time"
)

// Event is one message: what is sent, and the canonical record it should become.
type Event struct {
	Key   string
	Sent  any
	Means any
}

var start = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

// Events returns n events of a dataset, the same ones each time.
func Events(dataset string, n int) ([]Event, error) {
	event, ok := map[string]func(int) Event{
		"network": network, "compression": transfer, "system": node, "canonical": canonical,
	}[dataset]
	if !ok {
		return nil, fmt.Errorf("no dataset %q: network, compression, system or canonical", dataset)
	}
	events := make([]Event, n)
	for i := range events {
		events[i] = event(i)
	}
	return events, nil
}

var escape = strings.NewReplacer("%", "%25", ":", "%3A")

// linkKey is the key the contract gives a link.
func linkKey(node, peer string) string {
	return escape.Replace(node) + ":" + escape.Replace(peer)
}

func milliseconds(d time.Duration) float64 {
	return float64(d) / 1e6
}
