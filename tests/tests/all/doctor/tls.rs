//! TLS in front, and certificates that are not to be believed.

use tests::doctor::Doctor;
use tests::loopback;
use tests::nginx::Nginx;
use tests::stack::Plan;
use tests::tls::Certificate;

#[tokio::test]
async fn a_certificate_is_believed_or_the_doctor_says_what_is_wrong_with_it() {
    let stack = Plan { gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    let here = format!("IP:{}", loopback::address());
    let good = Certificate::until_the_end_of(2099, &here);
    let other = Certificate::until_the_end_of(2099, "DNS:login.example.com");
    let old = Certificate::until_the_end_of(2020, &here);

    let mut nginx = Nginx::absent();
    let mut servers = String::new();
    let mut urls = Vec::new();
    for (certificate, address) in
        [(&good, nginx.address()), (&other, loopback::socket_address()), (&old, loopback::socket_address())]
    {
        let (file, key) = (certificate.certificate(), certificate.key());
        servers.push_str(&format!(
            "server {{ listen {address} ssl; ssl_certificate {}; ssl_certificate_key {}; \
             location / {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header Host $http_host; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} \
             location /wechat/ {{ proxy_pass {}; }} }}\n",
            file.display(),
            key.display(),
            stack.gateways[0].url(),
            stack.callbacks[0].url(),
        ));
        urls.push(format!("https://{address}"));
    }
    nginx.start_with(&servers).await;

    let sees = async |certificate: &Certificate, url: &str| {
        let trusted = certificate.certificate().display().to_string();
        let doctor = Doctor::of_stack(&stack).given("SSL_CERT_FILE", &trusted).given("PUBLIC_URL", url);
        let report = doctor.looks().await;
        report.is_readable();
        report
    };
    sees(&good, &urls[0]).await.is_well().says("ok", "page", &["WebSocket"]);
    let report = sees(&other, &urls[0]).await;
    report.fails_only("callback", &["signed by nobody whom this machine knows", "fullchain.pem"]);
    report.says("skip", "page", &["see callback"]);
    sees(&other, &urls[1]).await.fails_only("callback", &["for another name (login.example.com)"]);
    sees(&old, &urls[2]).await.fails_only("callback", &["expired on Thu, 31 Dec 2020", "renew"]);
    let plain = urls[0].replace("https", "http");
    sees(&good, &plain).await.fails("callback", &["400", "https:// URL"]);
    sees(&good, &stack.url().replace("http", "https")).await.fails_only("callback", &["TLS", "plain HTTP"]);
    // A machine without any certificate can check none.
    let none = Doctor::of_stack(&stack).given("SSL_CERT_FILE", "/dev/null").given("PUBLIC_URL", &urls[0]);
    none.looks().await.fails_only("callback", &["no certificates", "ca-certificates"]);
}
