package telemetry

import (
	"fmt"
	"time"
)

// Payload is what is transferred; sent as an integer.
type Payload int

var payloads = []string{"vm_memory", "disk_block", "file", "stream"}

// Transfer is one transfer decision. Names that do not say their unit are declared in Units.
type Transfer struct {
	EventID      string            `json:"event_id"`
	Timestamp    float64           `json:"timestamp"`
	NodeID       string            `json:"node_id"`
	PeerID       string            `json:"peer_id"`
	VMID         *string           `json:"vm_id,omitempty"`
	LinkType     string            `json:"link_type"`
	Tier         string            `json:"network_tier"`
	Available    float64           `json:"bandwidth_available_mbps"`
	Utilization  float64           `json:"utilization"`
	RTT          time.Duration     `json:"rtt_ns"`
	PayloadSize  int64             `json:"payload_size"`
	Payload      Payload           `json:"payload_type"`
	Entropy      float64           `json:"entropy_normalized"`
	HasBaseline  bool              `json:"has_baseline"`
	HDERatio     *float64          `json:"hde_compression_ratio"`
	DeltaHitRate float64           `json:"delta_hit_rate"`
	HDELatency   time.Duration     `json:"hde_latency"`
	HDECPU       float64           `json:"hde_cpu_usage"`
	Streams      int               `json:"amst_stream_count"`
	TransferRate float64           `json:"transfer_rate"`
	AMSTLatency  time.Duration     `json:"amst_latency_ns"`
	AMSTCPU      float64           `json:"amst_cpu_usage"`
	Units        map[string]string `json:"units"`
}

var transferUnits = map[string]string{
	"utilization": "ratio", "delta_hit_rate": "ratio", "transfer_rate": "B/s", "hde_cpu_usage": "ratio",
}

func transfer(i int) Event {
	at := start.Add(time.Duration(i) * time.Second)
	ratio := 3 + float64(i%5)/2
	s := Transfer{
		EventID: fmt.Sprintf("tx-%06d", i), Timestamp: float64(at.Unix()) + 0.25, NodeID: fmt.Sprintf("node-%d", i%7),
		PeerID: "hub", LinkType: "DataCenter", Tier: fmt.Sprintf("tier%d", i%3+1), Available: 900,
		Utilization: 0.25, RTT: 400 * time.Microsecond, PayloadSize: 1 << 30, Payload: Payload(i % 4), Entropy: 0.75,
		HasBaseline: i%2 == 0, HDERatio: &ratio, DeltaHitRate: 0.5, HDELatency: 12500 * time.Microsecond, HDECPU: 0.375,
		Streams: 16, TransferRate: 1e8, AMSTLatency: 9 * time.Millisecond, AMSTCPU: 10.5, Units: transferUnits,
	}
	means := map[string]any{
		"event_id": s.EventID, "timestamp": at.UnixMilli() + 250, "node_id": s.NodeID, "peer_id": "hub", "vm_id": "",
		"request_id": "", "session_id": "", "region": "", "link_type": "dc", "network_tier": i%3 + 1,
		"bandwidth_available_mbps": 900, "bandwidth_utilization": 25, "rtt_ms": 0.4, "payload_size": 1 << 30,
		"payload_type": payloads[i%4], "entropy_estimate": 6, "repetition_score": nil, "has_baseline": s.HasBaseline,
		"hde_compression_ratio": ratio, "hde_delta_hit_rate": 50, "hde_latency_ms": 12.5, "hde_cpu_usage": 37.5,
		"amst_stream_count": 16, "amst_transfer_rate_mbps": 800, "amst_latency_ms": 9, "amst_cpu_usage": 10.5,
		"actual_algorithm": nil, "actual_latency_ms": nil, "actual_throughput_mbps": nil,
		"quality_score": 17.0 / 19, "is_training_candidate": true,
	}
	for _, mechanism := range []string{
		"hde_compression_ratio", "hde_latency_ms", "hde_cpu_usage",
		"amst_transfer_rate_mbps", "amst_latency_ms", "amst_cpu_usage",
	} {
		means["outcome_"+mechanism] = nil
	}
	return Event{Key: linkKey(s.NodeID, s.PeerID), Sent: s, Means: means}
}
