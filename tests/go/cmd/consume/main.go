// Consume reads what dwcp-streams publishes and prints what it decoded, a JSON line each.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"dwcp/client"
	"dwcp/telemetry"
)

func main() {
	broker := flag.String("broker", "127.0.0.1:9092", "bootstrap address")
	topic := flag.String("topic", "", "what to read")
	record := flag.String("record", "decision", "decision, forecast or score")
	name := flag.String("client", "kafka-go", "kafka-go, franz-go or sarama")
	n := flag.Int("records", 100, "how many")
	schema := flag.String("avro", "", "schema file: read Avro instead of JSON")
	flag.Parse()
	log.SetFlags(0)
	consume, err := client.Of(client.Consumers, *name)
	if err != nil {
		log.Fatal(err)
	}
	decode := telemetry.DecodeJSON
	if *schema != "" {
		codec, err := telemetry.Avro(*schema)
		if err != nil {
			log.Fatal(err)
		}
		decode = codec.Decode
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out := json.NewEncoder(os.Stdout)
	err = consume(ctx, *broker, *topic, *n, func(value []byte) error {
		found, err := telemetry.New(*record)
		if err != nil {
			return err
		}
		if err := decode(value, found); err != nil {
			return fmt.Errorf("%q: %w", value, err)
		}
		return out.Encode(found)
	})
	if err != nil {
		log.Fatal(err)
	}
}
