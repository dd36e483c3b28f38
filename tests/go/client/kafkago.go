package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

func leastBytes() kafka.Balancer { return &kafka.LeastBytes{} }

func murmur2() kafka.Balancer { return kafka.Murmur2Balancer{} }

// kafkaGoWrite produces with segmentio/kafka-go; without keys, as the daemons do, unless keyed.
func kafkaGoWrite(balancer func() kafka.Balancer, keyed bool) Produce {
	return func(ctx context.Context, broker, topic string, messages []Message) ([]Place, error) {
		places, lock := make([]Place, len(messages)), sync.Mutex{}
		writer := &kafka.Writer{
			Addr: kafka.TCP(broker), Topic: topic, Balancer: balancer(), BatchSize: 50, BatchTimeout: 10 * time.Millisecond,
			RequiredAcks: kafka.RequireAll,
			Completion: func(sent []kafka.Message, err error) {
				lock.Lock()
				defer lock.Unlock()
				for _, m := range sent {
					places[m.WriterData.(int)] = Place{m.Partition, m.Offset}
				}
			},
		}
		batch := make([]kafka.Message, len(messages))
		for i, m := range messages {
			batch[i] = kafka.Message{Value: m.Value, WriterData: i}
			if keyed {
				batch[i].Key = m.Key
			}
		}
		if err := writer.WriteMessages(ctx, batch...); err != nil {
			return nil, fmt.Errorf("kafka-go: %w", err)
		}
		return places, writer.Close()
	}
}

func kafkaGoRead(ctx context.Context, broker, topic string, n int, each func([]byte) error) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{broker}, Topic: topic, GroupID: fmt.Sprintf("go-%s-%d", topic, time.Now().UnixNano()),
		StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	for range n {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return fmt.Errorf("kafka-go: %w", err)
		}
		if err := each(message.Value); err != nil {
			return err
		}
	}
	return nil
}
