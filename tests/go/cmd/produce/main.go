// Produce sends events of a dataset and prints, a JSON line each, where they went and what they mean.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"dwcp/client"
	"dwcp/telemetry"
)

func main() {
	broker := flag.String("broker", "127.0.0.1:9092", "bootstrap address")
	topic := flag.String("topic", "", "where to send")
	dataset := flag.String("dataset", "network", "network, compression, system or canonical")
	name := flag.String("client", "kafka-go", "kafka-go, kafka-go-murmur2, franz-go or sarama")
	n := flag.Int("records", 100, "how many")
	schema := flag.String("avro", "", "schema file: send Avro instead of JSON")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*broker, *topic, *dataset, *name, *schema, *n); err != nil {
		log.Fatal(err)
	}
}

func run(broker, topic, dataset, name, schema string, n int) error {
	produce, err := client.Of(client.Producers, name)
	if err != nil {
		return err
	}
	events, err := telemetry.Events(dataset, n)
	if err != nil {
		return err
	}
	encode := json.Marshal
	if schema != "" {
		codec, err := telemetry.Avro(schema)
		if err != nil {
			return err
		}
		encode = codec.Encode
	}
	messages := make([]client.Message, n)
	for i, event := range events {
		value, err := encode(event.Sent)
		if err != nil {
			return err
		}
		messages[i] = client.Message{Key: []byte(event.Key), Value: value}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	places, err := produce(ctx, broker, topic, messages)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for i, event := range events {
		line := map[string]any{"key": event.Key, "means": event.Means, "at": places[i]}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
