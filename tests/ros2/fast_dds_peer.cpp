// A participant of Fast DDS, ROS's default, that is told what to do by lines on standard input. Messages are CDR in
// hexadecimal, with the four bytes before them that name the encoding:
//
//   writer TOPIC TYPE        publish on a topic, reliably
//   reader TOPIC TYPE        listen to a topic, reliably
//   write TOPIC MESSAGE      send a message
//   repeat TOPIC COUNT RATE MESSAGE   send a message with a header, its stamp the time, RATE times a second
//   counter TOPIC TYPE       listen, and do nothing
//   ask TOPIC ANSWERS MESSAGE  send a request as rmw_fastrtps does; its answers are those that ANSWERS has for it
//
// It prints
//   matched TOPIC COUNT      how many are on the other side now
//   asked TOPIC NUMBER       the number of the request that was sent
//   repeated TOPIC COUNT     all were sent
//   got TOPIC NUMBER MESSAGE   a message; NUMBER is that of the request that it answers, or 0

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/DataWriterListener.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/Topic.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/rtps/common/WriteParams.h>

using namespace eprosima::fastdds::dds;
using eprosima::fastrtps::rtps::GUID_t;
using eprosima::fastrtps::rtps::InstanceHandle_t;
using eprosima::fastrtps::rtps::SerializedPayload_t;
using eprosima::fastrtps::rtps::WriteParams;
using Bytes = std::vector<unsigned char>;

static std::mutex output;

static void say(const std::string &line) {
  std::lock_guard<std::mutex> lock(output);
  std::cout << line << std::endl;
}

static std::string hex(const Bytes &bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

static Bytes unhex(const std::string &text) {
  Bytes bytes;
  for (size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes.push_back(static_cast<unsigned char>(std::stoi(text.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

// Messages of a type as their bytes.
class Raw : public TopicDataType {
 public:
  explicit Raw(const std::string &name) {
    setName(name.c_str());
    m_typeSize = 16 << 20;
    m_isGetKeyDefined = false;
  }
  bool serialize(void *data, SerializedPayload_t *payload) override {
    const Bytes &bytes = *static_cast<Bytes *>(data);
    payload->encapsulation = CDR_LE;
    payload->length = static_cast<uint32_t>(bytes.size());
    std::memcpy(payload->data, bytes.data(), bytes.size());
    return true;
  }
  bool deserialize(SerializedPayload_t *payload, void *data) override {
    static_cast<Bytes *>(data)->assign(payload->data, payload->data + payload->length);
    return true;
  }
  std::function<uint32_t()> getSerializedSizeProvider(void *data) override {
    return [data]() { return static_cast<uint32_t>(static_cast<Bytes *>(data)->size()); };
  }
  void *createData() override { return new Bytes(); }
  void deleteData(void *data) override { delete static_cast<Bytes *>(data); }
  bool getKey(void *, InstanceHandle_t *, bool) override { return false; }
};

class Writing : public DataWriterListener {
 public:
  explicit Writing(std::string topic) : topic_(std::move(topic)) {}
  void on_publication_matched(DataWriter *, const PublicationMatchedStatus &status) override {
    say("matched " + topic_ + " " + std::to_string(status.current_count));
  }

 private:
  std::string topic_;
};

class Listening : public DataReaderListener {
 public:
  explicit Listening(std::string topic) : topic_(std::move(topic)) {}
  void on_subscription_matched(DataReader *, const SubscriptionMatchedStatus &status) override {
    say("matched " + topic_ + " " + std::to_string(status.current_count));
  }
  void on_data_available(DataReader *reader) override {
    Bytes bytes;
    SampleInfo info;
    while (reader->take_next_sample(&bytes, &info) == ReturnCode_t::RETCODE_OK) {
      if (!info.valid_data) continue;
      const auto &related = info.related_sample_identity;
      long long number = 0;
      // As rmw_fastrtps knows answers: by the reader that the request named.
      if (related.writer_guid() == reader->guid()) {
        number = related.sequence_number().to64long();
      }
      say("got " + topic_ + " " + std::to_string(number) + " " + hex(bytes));
    }
  }

 private:
  std::string topic_;
};

// Takes messages and does nothing.
class Counting : public DataReaderListener {
 public:
  explicit Counting(std::string topic) : topic_(std::move(topic)) {}
  void on_subscription_matched(DataReader *, const SubscriptionMatchedStatus &status) override {
    say("matched " + topic_ + " " + std::to_string(status.current_count));
  }
  void on_data_available(DataReader *reader) override {
    Bytes bytes;
    SampleInfo info;
    while (reader->take_next_sample(&bytes, &info) == ReturnCode_t::RETCODE_OK) {
    }
  }

 private:
  std::string topic_;
};

// Sends a message that begins with a header again and again, each with the time of its sending as its stamp.
static bool repeat(DataWriter *writer, int count, double rate, Bytes bytes) {
  using namespace std::chrono;
  auto due = steady_clock::now();
  for (int number = 0; number < count; ++number) {
    auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
    int32_t seconds = static_cast<int32_t>(now / 1000000000);
    uint32_t rest = static_cast<uint32_t>(now % 1000000000);
    std::memcpy(bytes.data() + 4, &seconds, 4);
    std::memcpy(bytes.data() + 8, &rest, 4);
    if (!writer->write(&bytes)) return false;
    due += duration_cast<steady_clock::duration>(duration<double>(1 / rate));
    std::this_thread::sleep_until(due);
  }
  return true;
}

int main() {
  const char *domain = std::getenv("ROS_DOMAIN_ID");
  auto *factory = DomainParticipantFactory::get_instance();
  auto *participant = factory->create_participant(
      domain ? static_cast<uint32_t>(std::atoi(domain)) : 0, PARTICIPANT_QOS_DEFAULT);
  if (!participant) return 1;
  auto *publisher = participant->create_publisher(PUBLISHER_QOS_DEFAULT);
  auto *subscriber = participant->create_subscriber(SUBSCRIBER_QOS_DEFAULT);
  std::map<std::string, DataWriter *> writers;
  std::map<std::string, DataReader *> readers;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string what, topic, second, third;
    words >> what >> topic >> second >> third;
    if (what == "writer" || what == "reader" || what == "counter") {
      TypeSupport type(new Raw(second));
      type.register_type(participant);
      auto *made = participant->create_topic(topic, second, TOPIC_QOS_DEFAULT);
      if (!made) return 2;
      if (what == "writer") {
        DataWriterQos qos = DATAWRITER_QOS_DEFAULT;
        qos.reliability().kind = RELIABLE_RELIABILITY_QOS;
        // As drivers of cameras.
        qos.history().kind = KEEP_LAST_HISTORY_QOS;
        qos.history().depth = 10;
        // As rmw_fastrtps: memory as messages need it, and messages of any size.
        qos.endpoint().history_memory_policy = eprosima::fastrtps::rtps::DYNAMIC_RESERVE_MEMORY_MODE;
        qos.publish_mode().kind = ASYNCHRONOUS_PUBLISH_MODE;
        writers[topic] = publisher->create_datawriter(made, qos, new Writing(topic));
      } else {
        DataReaderQos qos = DATAREADER_QOS_DEFAULT;
        qos.reliability().kind = RELIABLE_RELIABILITY_QOS;
        qos.history().kind = KEEP_ALL_HISTORY_QOS;
        qos.endpoint().history_memory_policy = eprosima::fastrtps::rtps::DYNAMIC_RESERVE_MEMORY_MODE;
        if (what == "counter") {
          qos.history().kind = KEEP_LAST_HISTORY_QOS;
          qos.history().depth = 5;
          subscriber->create_datareader(made, qos, new Counting(topic));
        } else {
          readers[topic] = subscriber->create_datareader(made, qos, new Listening(topic));
        }
      }
    } else if (what == "write") {
      Bytes bytes = unhex(second);
      if (!writers.at(topic)->write(&bytes)) return 3;
    } else if (what == "repeat") {
      std::string message;
      words >> message;
      if (!repeat(writers.at(topic), std::stoi(second), std::stod(third), unhex(message))) return 3;
      say("repeated " + topic + " " + second);
    } else if (what == "ask") {
      Bytes bytes = unhex(third);
      WriteParams params;
      params.related_sample_identity().writer_guid() = readers.at(second)->guid();
      if (!writers.at(topic)->write(&bytes, params)) return 3;
      say("asked " + topic + " " +
          std::to_string(params.sample_identity().sequence_number().to64long()));
    }
  }
  return 0;
}
