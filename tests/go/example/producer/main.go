package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

type sample struct {
	Timestamp     time.Time     `json:"timestamp"` // RFC 3339 with nanoseconds, any offset
	NodeID        string        `json:"node_id"`
	PeerID        string        `json:"peer_id"`
	RTT           time.Duration `json:"rtt"` // a bare duration is integer nanoseconds
	JitterMs      float64       `json:"jitter_ms"`
	LossPercent   float64       `json:"packet_loss_percent"` // the name says the unit
	BandwidthMbps float64       `json:"bandwidth_mbps"`
}

func main() {
	writer := kafka.Writer{Addr: kafka.TCP(os.Args[1]), Topic: "dwcp.network.raw.v1", Balancer: &kafka.LeastBytes{}}
	value, err := json.Marshal(sample{time.Now(), "host-1", "host-2", 12 * time.Millisecond, 1.5, 0.2, 940})
	if err != nil {
		log.Fatal(err)
	}
	if err := writer.WriteMessages(context.Background(), kafka.Message{Value: value}); err != nil {
		log.Fatal(err)
	}
}
