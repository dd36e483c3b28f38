package client

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzWrite produces with twmb/franz-go, whose default partitions keys by murmur2.
func franzWrite(ctx context.Context, broker, topic string, messages []Message) ([]Place, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return nil, fmt.Errorf("franz-go: %w", err)
	}
	defer client.Close()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = &kgo.Record{Key: m.Key, Value: m.Value}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, fmt.Errorf("franz-go: %w", err)
	}
	places := make([]Place, len(records))
	for i, r := range records {
		places[i] = Place{int(r.Partition), r.Offset}
	}
	return places, nil
}

func franzRead(ctx context.Context, broker, topic string, n int, each func([]byte) error) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return fmt.Errorf("franz-go: %w", err)
	}
	defer client.Close()
	for n > 0 {
		fetches := client.PollRecords(ctx, n)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("franz-go: %w", err)
		}
		for _, record := range fetches.Records() {
			if err := each(record.Value); err != nil {
				return err
			}
			n--
		}
	}
	return nil
}
