// Package client sends and reads with the Kafka clients that Go daemons use.
package client

import (
	"context"
	"fmt"
)

// Message is a key, which may be nil, and a value.
type Message struct {
	Key, Value []byte
}

// Place is where the broker put a message.
type Place struct {
	Partition int   `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Produce sends messages and says where each one went.
type Produce func(ctx context.Context, broker, topic string, messages []Message) ([]Place, error)

// Consume reads values from the beginning and hands each one over, n in all.
type Consume func(ctx context.Context, broker, topic string, n int, each func([]byte) error) error

// Producers by name. What follows the client's name is how it chooses partitions.
var Producers = map[string]Produce{
	"kafka-go":         kafkaGoWrite(leastBytes, false),
	"kafka-go-murmur2": kafkaGoWrite(murmur2, true),
	"franz-go":         franzWrite,
	"sarama":           saramaWrite,
}

// Consumers by name.
var Consumers = map[string]Consume{"kafka-go": kafkaGoRead, "franz-go": franzRead, "sarama": saramaRead}

// Of looks a client up.
func Of[T any](clients map[string]T, name string) (T, error) {
	found, ok := clients[name]
	if !ok {
		return found, fmt.Errorf("no client %q", name)
	}
	return found, nil
}
