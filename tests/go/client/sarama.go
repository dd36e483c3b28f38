package client

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"
)

// saramaWrite produces with IBM/sarama one message at a time, partitioned by FNV-1a of the key, its default.
func saramaWrite(_ context.Context, broker, topic string, messages []Message) ([]Place, error) {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 50 // a new topic takes a moment to have leaders
	producer, err := sarama.NewSyncProducer([]string{broker}, config)
	if err != nil {
		return nil, fmt.Errorf("sarama: %w", err)
	}
	defer producer.Close()
	places := make([]Place, len(messages))
	for i, m := range messages {
		message := &sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
		partition, offset, err := producer.SendMessage(message)
		if err != nil {
			return nil, fmt.Errorf("sarama: %w", err)
		}
		places[i] = Place{int(partition), offset}
	}
	return places, nil
}

func saramaRead(ctx context.Context, broker, topic string, n int, each func([]byte) error) error {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	consumer, err := sarama.NewConsumer([]string{broker}, config)
	if err != nil {
		return fmt.Errorf("sarama: %w", err)
	}
	defer consumer.Close()
	partitions, err := consumer.Partitions(topic)
	if err != nil {
		return fmt.Errorf("sarama: %w", err)
	}
	values := make(chan []byte)
	for _, p := range partitions {
		reader, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return fmt.Errorf("sarama: %w", err)
		}
		go func() {
			for message := range reader.Messages() {
				select {
				case values <- message.Value:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	for range n {
		select {
		case value := <-values:
			if err := each(value); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("sarama: %w", ctx.Err())
		}
	}
	return nil
}
